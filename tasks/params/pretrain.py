"""Section `pretrain`: transfer learning."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.params.networks import NONE, known_backbone, weights_fault
from tasks.params.section import (
    Device,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Processes,
    Section,
    Share,
    meeting_fault,
)
from tasks.params.training import Augmentation, Plateau, Selection


def _digest(text: str) -> str:
    if re.fullmatch("(?:[0-9a-fA-F]{64})?", text):
        return text
    raise ValueError(f"found '{text}', needed 64 hexadecimal digits, or nothing")


class Distillation(Section):
    """Generations of training that learn from the one before."""

    generations: Annotated[int, Field(ge=0)]
    weight: Share
    temperature: PositiveFloat


class CrossValidation(Section):
    """How `schedule: cross_validation` finds its rates."""

    folds: Annotated[int, Field(ge=2)]
    points: PositiveInt
    factor: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    episodes: Annotated[int, Field(ge=10)]


class Pretrain(Section):
    """Transfer learning: a backbone and a classifier over the base classes."""

    backbone: Annotated[str, AfterValidator(known_backbone)]
    conv4_widths: Annotated[list[PositiveInt], Field(min_length=4, max_length=4)]
    conv4_embedding: Literal["map", "mean"]
    input_size_px: Annotated[int, Field(ge=0, le=1024)]
    weights: Annotated[str, Field(min_length=1)]
    weights_sha256: Annotated[str, AfterValidator(_digest)]
    policy: Literal["full", "frozen", "last_block", "discriminative", "gradual"]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    unfreeze_every_epochs: PositiveInt
    classifier: Literal["cosine", "linear"]
    processes: Processes
    device: Device = "cpu"
    epochs: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["adamw", "adam", "sgd"]
    learning_rate: PositiveFloat
    schedule: Literal[
        "constant", "cosine", "one_cycle", "exponential", "plateau", "cross_validation"
    ]
    exponential_decay: Annotated[float, Field(gt=0, le=1)]
    exponential_every_batches: Annotated[int, Field(ge=0)]
    plateau: Plateau
    cross_validation: CrossValidation
    weight_decay: NonNegativeFloat
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    mixing: Literal["none", "mixup", "cutmix"]
    mixing_alpha: PositiveFloat
    distillation: Distillation
    precision: Literal["float32", "bfloat16"]
    augmentation: Augmentation
    selection: Selection

    @model_validator(mode="after")
    def _weights_fit_backbone(self) -> Self:
        if fault := weights_fault(self.backbone, self.weights):
            raise ValueError(f"weights: {fault}")
        if self.weights_sha256 and self.weights == NONE:
            raise ValueError("weights_sha256: found the digest of a file, but weights: none")
        return self

    @model_validator(mode="after")
    def _rates_listen_to_a_backbone_that_learns(self) -> Self:
        if self.policy == "frozen" and self.schedule in ("plateau", "cross_validation"):
            raise ValueError(
                f"schedule: {self.schedule} listens to how well the backbone does, and under "
                "policy: frozen it learns nothing; choose another of the two"
            )
        return self

    @model_validator(mode="after")
    def _processes_have_work(self) -> Self:
        if self.processes > 1 and self.policy == "frozen":
            raise ValueError(
                f"processes: found {self.processes} with policy: frozen, whose steps are a few "
                "matrix products; needed 1"
            )
        # Two for each: BatchNorm has no statistics of a single row.
        if self.processes > 1 and self.batch_size < 2 * self.processes:
            raise ValueError(
                f"processes: found {self.processes} for a batch_size of {self.batch_size}, needed "
                "at least two images for each"
            )
        if fault := meeting_fault(self.processes, self.device):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _frozen_embeds_once(self) -> Self:
        if self.policy == "frozen" and (self.mixing != "none" or self.distillation.generations):
            raise ValueError(
                "policy: frozen embeds every image once, as it is; it needs mixing: none and "
                "distillation.generations: 0"
            )
        return self
