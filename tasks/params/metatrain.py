"""Section `metatrain`: meta-learning."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params.section import (
    Device,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Processes,
    Section,
    meeting_fault,
)
from tasks.params.training import Augmentation, Plateau, Selection

MOVE_NETWORK = ("maml", "fomaml", "meta_sgd", "maml_plus_plus", "reptile")
FREEZABLE = ("cosine", "centred_cosine", "ridge", "anil", "projection")


class Projection(Section):
    """Read by learner projection."""

    dim: Annotated[int, Field(ge=0, le=8192)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Metatrain(Section):
    """Meta-learning: episodes of base classes that teach the backbone to be adapted."""

    learner: Literal[
        "prototype",
        "cosine",
        "centred_cosine",
        "ridge",
        "projection",
        "anil",
        "mtl",
        "maml",
        "fomaml",
        "meta_sgd",
        "maml_plus_plus",
        "reptile",
    ]
    first_order: bool
    inner_steps: Annotated[int, Field(ge=0, le=100)]
    inner_learning_rate: PositiveFloat
    inner_network_learning_rate: PositiveFloat
    initial_temperature: PositiveFloat
    initial_penalty: PositiveFloat
    initial_penalty_of_one: PositiveFloat
    projection: Projection
    freeze_backbone: bool
    views: Annotated[int, Field(ge=1, le=64)]
    normalisation: Literal["running", "transductive"]
    alone: bool
    within_group: bool
    way: Annotated[int, Field(ge=2)]
    shot: PositiveInt
    queries: PositiveInt
    meta_batch: PositiveInt
    processes: Processes
    device: Device = "cpu"
    steps: Annotated[int, Field(ge=0)]
    optimizer: Literal["adamw", "adam", "sgd"]
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine", "one_cycle", "exponential", "plateau"]
    exponential_decay: Annotated[float, Field(gt=0, le=1)]
    exponential_every_batches: Annotated[int, Field(ge=0)]
    plateau: Plateau
    weight_decay: NonNegativeFloat
    augmentation: Augmentation
    averaging: Annotated[float, Field(ge=0, lt=1)]
    interpolation: Annotated[float, Field(gt=0, le=1)] = 1.0
    checkpoint_every_steps: PositiveInt
    selection: Selection

    @property
    def freezes_backbone(self) -> bool:
        """Whether the backbone stays as it is, so that images are embedded only once."""
        return self.freeze_backbone or self.learner == "projection"

    @model_validator(mode="after")
    def _processes_have_work(self) -> Self:
        if self.processes > 1 and self.freezes_backbone:
            raise ValueError(
                f"processes: found {self.processes} with a frozen backbone, whose steps are a few "
                "matrix products; needed 1"
            )
        if self.processes > self.meta_batch:
            raise ValueError(
                f"processes: found {self.processes} for a meta_batch of {self.meta_batch}, needed "
                "at least one episode for each"
            )
        if fault := meeting_fault(self.processes, self.device):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _learner_can(self) -> Self:
        if self.freeze_backbone and self.learner not in FREEZABLE:
            raise ValueError(
                f"freeze_backbone: true leaves learner {self.learner} nothing to train; needed one "
                f"of {', '.join(FREEZABLE)}, or false"
            )
        if self.normalisation == "transductive" and self.learner not in MOVE_NETWORK:
            raise ValueError(
                f"normalisation: transductive needs a learner that goes through the network for "
                f"each episode: {', '.join(MOVE_NETWORK)}; found {self.learner}"
            )
        if self.views > 1 and not self.freezes_backbone:
            raise ValueError(
                f"views: found {self.views} with a backbone that is trained, whose images are "
                "varied anew in every step; needed 1, or freeze_backbone: true"
            )
        return self
