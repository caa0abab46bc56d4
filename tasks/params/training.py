"""What sections `pretrain` and `metatrain` have in common."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params.section import PositiveInt, Section, Share


class Augmentation(Section):
    """How far a training image may stray from the one in the store."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    shear: Annotated[float, Field(ge=0, le=1)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, le=0.5)]
    elastic_px: Annotated[float, Field(ge=0, le=16)]
    thickness_probability: Share
    blur_probability: Share
    polarity_probability: Share
    flip_probability: Share
    brightness: Share
    contrast: Share
    saturation: Share
    border: Literal["white", "reflection"]


class Plateau(Section):
    """When `schedule: plateau` lowers the rate, and by how much."""

    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)]


class Selection(Section):
    """The episodes on validation classes that choose an epoch or a checkpoint."""

    way: Annotated[int, Field(ge=2)]
    shot: PositiveInt
    queries: PositiveInt
    episodes: Annotated[int, Field(ge=10)]
    within_group: bool = False
