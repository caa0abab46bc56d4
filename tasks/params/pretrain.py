"""Section `pretrain`: transfer learning."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params.section import NonNegativeFloat, PositiveFloat, PositiveInt, Section
from tasks.params.training import Augmentation, Plateau, Selection


class Pretrain(Section):
    """Transfer learning: a backbone and a classifier over the base classes."""

    backbone: Literal["conv4", "resnet18"]
    conv4_widths: Annotated[list[PositiveInt], Field(min_length=4, max_length=4)]
    imagenet_weights: bool
    freeze_backbone: bool
    classifier: Literal["cosine", "linear"]
    epochs: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["adamw", "sgd"]
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine", "one_cycle", "exponential", "plateau"]
    exponential_decay: Annotated[float, Field(gt=0, le=1)]
    exponential_every_batches: Annotated[int, Field(ge=0)]
    plateau: Plateau
    weight_decay: NonNegativeFloat
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    augmentation: Augmentation
    selection: Selection

    @model_validator(mode="after")
    def _weights_fit_backbone(self) -> Self:
        if self.imagenet_weights and self.backbone == "conv4":
            raise ValueError(
                "imagenet_weights: true needs backbone: resnet18; there are no ImageNet weights "
                "of conv4"
            )
        return self
