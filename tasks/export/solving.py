"""Exact solution of linear systems inside a graph, where ONNX has no operator for it.

Gauss-Jordan elimination of `[A | B]` to `[I | A^-1 B]`, one unknown a turn of a Loop. What is kept
is `N = [A - I | B]`, for then the column to take away needs no unit vector taken from it:

    N  =  N - N[:, k] (N[k] / (N[k, k] + 1))

Columns of unknowns that are done would have to become 0 in N; here they hold what no later turn
reads. Every turn costs its nodes, not its numbers: a system of 25 unknowns has 25 of them.

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
    one = op.CastLike(1.0, system)
    joined = op.Concat(system - op.EyeLike(system), right, axis=1)
    for k in range(op.Squeeze(unknowns)):
        place = op.Reshape(k, [1])
        row = op.Gather(joined, place, axis=0)
        pivot = op.Gather(row, place, axis=1) + one
        joined = op.Gemm(op.Gather(joined, place, axis=1), row / pivot, joined, alpha=-1.0)
    solution: DOUBLE = op.Slice(joined, unknowns, op.Shape(joined, start=1, end=2), [1])
    return solution


TRANSLATIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.linalg_solve.default: solve
}
