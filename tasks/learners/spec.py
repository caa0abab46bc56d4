"""What is needed to build a learner again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class LearnerSpec:
    """All that is needed to build a learner; stored beside its weights.

    Attributes:
        name: a key of `tasks.learners.learner.BUILDERS`.
        dim: length of an embedding.
        initial_temperature: where the learned temperature of cosines, or scale of the scores,
            starts.
        inner_steps: gradient steps of those that take any.
        inner_learning_rate: of their head, where learned rates start.
        network_learning_rate: of the network, for those that move it.
        first_order: whether they leave second derivatives out of the meta-gradient.
        initial_penalty: where the learned lambda of `ridge` starts.
        initial_penalty_of_one: likewise, of an image that is alone in its class; None takes that of
            the others.
        projection_dim: length of a feature of `projection`; 0 is `dim`.
        dropout: share of an embedding that `projection` leaves out in training.
        normalisation: `running` or `transductive`, how BatchNorm normalises within an episode.
        network_shapes: shape of each parameter of the encoder, for those that move it.
    """

    name: str
    dim: int
    initial_temperature: float = 10.0
    inner_steps: int = 5
    inner_learning_rate: float = 1.0
    network_learning_rate: float = 0.01
    first_order: bool = False
    initial_penalty: float = 1.0
    initial_penalty_of_one: float | None = None
    projection_dim: int = 0
    dropout: float = 0.0
    normalisation: Literal["running", "transductive"] = "running"
    network_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A JSON object that `LearnerSpec(**object)` reads back."""
        return asdict(self)
