"""The protocol of learners, and how to build one by name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.artifacts.model_store import read_module
from tasks.errors import DataError
from tasks.heads.linear import linear_logits
from tasks.learners.anil import Anil
from tasks.learners.cosine import Cosine


@runtime_checkable
class Learner(Protocol):
    """Adapts to support embeddings by choosing a linear rule over features.

    Every method takes one episode or many: leading axes are episodes. All of them are plain tensor
    functions, so the very same code trains, evaluates in bulk and becomes `adapt.onnx`.
    """

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


@dataclass(frozen=True)
class LearnerSpec:
    """All that is needed to build a learner; stored beside its weights.

    Attributes:
        name: `cosine` or `anil`.
        dim: length of an embedding.
        initial_temperature: where the learned scale of the prototypes starts.
        inner_steps: gradient steps of `anil`.
        inner_learning_rate: where the learned inner rates of `anil` start.
        first_order: whether `anil` leaves second derivatives out of its meta-gradient.
    """

    name: str
    dim: int
    initial_temperature: float = 10.0
    inner_steps: int = 5
    inner_learning_rate: float = 1.0
    first_order: bool = False

    def as_json(self) -> dict[str, Any]:
        """A JSON object that `LearnerSpec(**object)` reads back."""
        return asdict(self)


def build_learner(spec: LearnerSpec) -> nn.Module:
    """Build an untrained learner; the module is a `Learner`.

    Raises:
        DataError: there is no learner of that name.
    """
    builders: dict[str, Callable[[], nn.Module]] = {
        "cosine": lambda: Cosine(spec.initial_temperature),
        "anil": lambda: Anil(
            spec.initial_temperature, spec.inner_steps, spec.inner_learning_rate, spec.first_order
        ),
    }
    if spec.name not in builders:
        raise DataError(f"found learner {spec.name}, needed one of {', '.join(builders)}")
    return builders[spec.name]()


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
