"""Exact solution of linear systems inside a graph, where ONNX has no operator for it.

Gauss-Jordan elimination of `[A | B]` to `[I | A^-1 B]`, one unknown a turn of a Loop:

    row      =  M[k] / M[k, k]
    M        =  M - (M[:, k] - e_k) row          which also leaves `row` in place k

The systems are symmetric and positive definite (ridge regression), so every pivot is above 0 and
none has to be looked for. They may be of any size, which a graph without a Loop could not be.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnxscript import DOUBLE, opset18, script

op: Any = opset18


@script(default_opset=op)
def solve(system: DOUBLE, right: DOUBLE) -> DOUBLE:
    """What `torch.linalg.solve(system, right)` gives, as ONNX operators.

    Args:
        system: `(unknowns, unknowns)`, float64, symmetric and positive definite.
        right: `(unknowns, columns)`, float64.
    """
    unknowns = op.Shape(system, start=0, end=1)
    places = op.Range(0, op.Squeeze(unknowns), 1)
    joined = op.Concat(system, right, axis=1)
    for k in range(op.Squeeze(unknowns)):
        place = op.Reshape(k, [1])
        row = op.Gather(joined, place, axis=0)
        column = op.Gather(joined, place, axis=1)
        unit = op.Unsqueeze(op.CastLike(op.Equal(places, k), joined), [1])
        joined = joined - (column - unit) * (row / op.Gather(row, place, axis=1))
    solution: DOUBLE = op.Slice(joined, unknowns, op.Shape(joined, start=1, end=2), [1])
    return solution


TRANSLATIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.linalg_solve.default: solve
}
