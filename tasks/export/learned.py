"""What a learner has learned, as numbers that stand in its graphs under their names.

PyTorch's exporter computes ahead whatever follows from constants alone: `exp(log_penalty)` becomes
a nameless number, and the product of it and the identity a nameless matrix. Who opens a graph is to
find lambda and the rates, and changing one there is to change what the graph computes. Hence two
steps: the learner is traced with what follows from its parameters in their place, and `trace` takes
these for inputs of the graph and makes initialisers of them afterwards.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from tasks.artifacts.contract import GraphContract, graph_file
from tasks.export.graphs import trace
from tasks.export.modules import Adapt, Predict
from tasks.export.unrolled import UnrolledHead
from tasks.learners.gradient import GradientLearner
from tasks.learners.ridge import Ridge

PREFIX = "learner."
_FEW = 64  # numbers that a person may want to read; longer ones stay in the graph
_WORDS: Mapping[str, str] = {
    "scale": "multiplies the scores, or the start of the head",
    "temperature": "multiplies the cosines",
    "centre": "mean embedding of the base classes, taken away from every embedding",
    "penalty": "lambda of the ridge regression, above 0, of an image among others of its class",
    "penalty_of_one": "lambda of an image that is alone in its class, above 0",
    "rates.weight": "step size of the head's weight: one a step, or one for each number of a row",
    "rates.bias": "step size of the head's bias: one a step, or one for all steps",
}
_UNROLLED = (
    "the gradient steps of the head are unrolled in adapt.onnx: no initialiser holds their number, "
    "and another number needs another export"
)


class PlainRidge(Ridge):
    """Ridge with lambda itself in the place of its logarithm.

    Args:
        learned: the learner.
    """

    def __init__(self, learned: Ridge) -> None:
        nn.Module.__init__(self)
        self.scale = learned.scale
        among_others, alone = learned.positive_penalties()
        self.register_buffer("penalty", among_others.detach())
        self.register_buffer("penalty_of_one", alone.detach())

    def positive_penalties(self) -> tuple[Tensor, Tensor]:
        """Lambda of an image among others of its class, and of one that is alone."""
        return self.get_buffer("penalty"), self.get_buffer("penalty_of_one")


def plain(learner: nn.Module) -> nn.Module:
    """The same rule, with what was learned in the form in which the rule takes it."""
    if isinstance(learner, Ridge):
        return PlainRidge(learner).eval()
    if isinstance(learner, GradientLearner) and learner.rates.steps:
        return UnrolledHead(learner).eval()
    return deepcopy(learner).eval()


@torch.no_grad()
def trace_learner(
    module: Adapt | Predict,
    contract: GraphContract,
    examples: Sequence[Tensor],
    *,
    name: str,
    about: Mapping[str, str],
) -> onnx.ModelProto:
    """Export `adapt` or `predict` of a learner; what it has learned stays under its names.

    Args:
        module: of the learner, which is left as it is.
        contract: as for `trace`, like the others.
        examples: likewise.
        name: likewise.
        about: likewise.

    Raises:
        BundleError: the learner does something that no graph can.
    """
    own = type(module)(plain(module.learner)).eval()
    return trace(own, contract, examples, name=name, about=about, kept=own.state_dict())


def learned_in_graphs(models: Mapping[str, onnx.ModelProto], learner: nn.Module) -> dict[str, Any]:
    """Where the graphs hold what was learned, for the manifest.

    Args:
        models: the graphs by name.
        learner: they were made of.

    Returns:
        `initialisers`: graph, name, shape, meaning, and where they are few the values;
        and `unrolled`, words on what no initialiser holds, of a learner that takes gradient steps.
    """
    initialisers = [
        _described(graph, tensor)
        for graph in ("adapt", "predict")
        for tensor in models[graph].graph.initializer
        if tensor.name.startswith(PREFIX)
    ]
    steps = {"unrolled": _UNROLLED} if isinstance(learner, GradientLearner) else {}
    return {"initialisers": initialisers, **steps}


def _described(graph: str, tensor: onnx.TensorProto) -> dict[str, Any]:
    values = numpy_helper.to_array(tensor)
    meaning = _WORDS.get(tensor.name.removeprefix(PREFIX), "a part of the learner's features")
    told = {
        "graph": graph_file(graph),
        "name": tensor.name,
        "shape": list(values.shape),
        "meaning": meaning,
    }
    return told | ({"value": values.tolist()} if values.size <= _FEW else {})
