"""Section `metatrain`: meta-learning."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params.section import NonNegativeFloat, PositiveFloat, PositiveInt, Section
from tasks.params.training import Augmentation, Plateau, Selection


class Metatrain(Section):
    """Meta-learning: episodes of base classes that teach the backbone to be adapted."""

    learner: Literal["cosine", "anil"]
    first_order: bool
    inner_steps: Annotated[int, Field(ge=0, le=100)]
    inner_learning_rate: PositiveFloat
    initial_temperature: PositiveFloat
    way: Annotated[int, Field(ge=2)]
    shot: PositiveInt
    queries: PositiveInt
    meta_batch: PositiveInt
    steps: Annotated[int, Field(ge=0)]
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine", "one_cycle", "exponential", "plateau"]
    exponential_decay: Annotated[float, Field(gt=0, le=1)]
    exponential_every_batches: Annotated[int, Field(ge=0)]
    plateau: Plateau
    weight_decay: NonNegativeFloat
    augmentation: Augmentation
    averaging: Annotated[float, Field(ge=0, lt=1)]
    checkpoint_every_steps: PositiveInt
    selection: Selection
