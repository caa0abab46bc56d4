"""The protocol of learners, and how to build one by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.artifacts.model_store import read_module
from tasks.errors import DataError
from tasks.heads.linear import linear_logits
from tasks.learners.cosine import CentredCosine, Cosine
from tasks.learners.gradient import FAMILIES, GradientLearner
from tasks.learners.projection import Projection
from tasks.learners.prototype import Prototype
from tasks.learners.ridge import Ridge
from tasks.learners.spec import LearnerSpec


@runtime_checkable
class Learner(Protocol):
    """Adapts to support embeddings by choosing a linear rule over features.

    Every method takes one episode or many: leading axes are episodes. All of them are plain tensor
    functions, so the very same code trains, evaluates in bulk and becomes `adapt.onnx`. A learner
    that moves the network too is a `GradientLearner` with more methods; what stands here is then
    the part of it that needs no more than embeddings.

    Attributes:
        moves_network: whether it adapts the network beside the head.
    """

    moves_network: bool

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """What the rule is linear in."""
        ...

    def adapt(
        self,
        embeddings: Float[Tensor, "*episodes support dim"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way dim"], Float[Tensor, "*episodes way"]]:
        """Learn the classes from their support.

        Args:
            embeddings: as the encoder gives them.
            labels: class of each embedding; one that is not in `classes` is ignored.
            classes: labels to tell apart, in the order of the scores wanted.

        Returns:
            Weight and bias of the rule; the bias is -inf for a class without support.
        """
        ...


def episode_logits(
    learner: Learner,
    support: Float[Tensor, "*episodes support dim"],
    labels: Int64[Tensor, "*episodes support"],
    classes: Int64[Tensor, " way"],
    query: Float[Tensor, "*episodes query dim"],
) -> Float[Tensor, "*episodes query way"]:
    """Adapt to the support of each episode and score its queries."""
    weight, bias = learner.adapt(support, labels, classes)
    return linear_logits(learner.features(query), weight, bias)


BUILDERS: Mapping[str, Callable[[LearnerSpec], nn.Module]] = {
    "prototype": lambda _: Prototype(),
    "cosine": lambda spec: Cosine(spec.initial_temperature),
    "centred_cosine": lambda spec: CentredCosine(spec.dim, spec.initial_temperature),
    "ridge": lambda spec: Ridge(
        spec.initial_temperature, spec.initial_penalty, spec.initial_penalty_of_one
    ),
    "projection": lambda spec: Projection(
        spec.dim, spec.projection_dim, spec.dropout, spec.initial_temperature
    ),
    **dict.fromkeys(FAMILIES, GradientLearner),
}


def build_learner(spec: LearnerSpec) -> nn.Module:
    """Build an untrained learner; the module is a `Learner`.

    Raises:
        DataError: there is no learner of that name.
    """
    if spec.name not in BUILDERS:
        raise DataError(f"found learner {spec.name}, needed one of {', '.join(BUILDERS)}")
    return BUILDERS[spec.name](spec)


def as_learner(module: nn.Module) -> Learner:
    """The same object, seen as what it does."""
    return cast(Learner, module)


def read_learner(folder: Path, made_by: str) -> nn.Module:
    """Build the learner that a stage wrote, with its weights; the module is a `Learner`.

    Args:
        folder: holds `model.json` and `learner.safetensors`.
        made_by: the stage that writes it, for messages.

    Raises:
        DataError: something is missing, damaged, or of another version.
    """
    return read_module(
        folder, "learner", made_by, lambda entry: build_learner(LearnerSpec(**entry))
    )
