"""The frozen mirror of `params.yaml`: one class a stage, nothing unknown, nothing impossible."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.errors import ParametersError

PARAMS_FILE = Path("params.yaml")

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Values that cannot change once read, and no key that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Prepare(Section):
    """Which images there are, how they are framed, and which classes are kept for what."""

    source: Literal["glyphs"]
    image_size_px: Annotated[int, Field(ge=16, le=512)]
    channels: Literal[1, 3]
    framing: Literal["ink", "crop"]
    samples_per_class: Annotated[int, Field(ge=2, le=1000)]
    minimum_typefaces: Annotated[int, Field(ge=1, le=16)]
    maximum_similarity: Share
    base_scripts: Annotated[list[str], Field(min_length=1)]
    validation_scripts: Annotated[list[str], Field(min_length=1)]
    novel_scripts: Annotated[list[str], Field(min_length=1)]
    domains: list[Literal["digits"]]

    @model_validator(mode="after")
    def _splits_are_disjoint(self) -> Self:
        seen: dict[str, str] = {}
        for key in ("base_scripts", "validation_scripts", "novel_scripts"):
            for script in getattr(self, key):
                if script in seen:
                    raise ValueError(
                        f"script {script} stands in {seen[script]} and again in {key}; "
                        "name it once, or novel classes are not novel"
                    )
                seen[script] = key
        return self


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


class Selection(Section):
    """The episodes on validation classes that choose an epoch or a checkpoint."""

    way: Annotated[int, Field(ge=2)]
    shot: PositiveInt
    queries: PositiveInt
    episodes: Annotated[int, Field(ge=10)]


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
    schedule: Literal["constant", "cosine", "one_cycle", "exponential"]
    exponential_decay: Annotated[float, Field(gt=0, le=1)]
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
    schedule: Literal["constant", "cosine", "one_cycle", "exponential"]
    exponential_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: NonNegativeFloat
    augmentation: Augmentation
    averaging: Annotated[float, Field(ge=0, lt=1)]
    checkpoint_every_steps: PositiveInt
    selection: Selection


class Protocol(Section):
    """One kind of episode and the classes it is drawn from."""

    domain: str
    way: Annotated[int, Field(ge=2)]
    shot: PositiveInt

    @property
    def name(self) -> str:
        """How tables and files call it, for example `novel 5-way 1-shot`."""
        return f"{self.domain} {self.way}-way {self.shot}-shot"


class Evaluate(Section):
    """What is measured on classes that no training saw."""

    episodes: Annotated[int, Field(ge=30)]
    queries: PositiveInt
    protocols: Annotated[list[Protocol], Field(min_length=1)]


class Export(Section):
    """What production gets."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    maximum_batch: PositiveInt
    maximum_image_side_px: Annotated[int, Field(ge=16, le=20_000)]


class Params(Section):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0)]
    prepare: Prepare
    pretrain: Pretrain
    metatrain: Metatrain
    evaluate: Evaluate
    export: Export

    @model_validator(mode="after")
    def _episodes_fit_samples(self) -> Self:
        for key, shot, queries in self._episode_demands():
            if shot + queries > self.prepare.samples_per_class:
                raise ValueError(
                    f"{key}: shot + queries = {shot} + {queries} is more than "
                    f"prepare.samples_per_class = {self.prepare.samples_per_class}; "
                    "ask for fewer or render more"
                )
        domains = {"novel", *self.prepare.domains}
        for index, protocol in enumerate(self.evaluate.protocols):
            if protocol.domain not in domains:
                raise ValueError(
                    f"evaluate.protocols[{index}].domain: found '{protocol.domain}', needed one "
                    f"of {', '.join(sorted(domains))}"
                )
        return self

    def check_episodes(self, counts: Mapping[str, Sequence[int]]) -> None:
        """Check that every episode asked for can be drawn from the classes there are.

        Args:
            counts: part of the image store -> images of each of its classes.

        Raises:
            ParametersError: too few classes, or too few images in them; a line a fault.
        """
        asked = [
            (f"{key}.selection", "validation", one.way, one.shot + one.queries)
            for key, one in (
                ("pretrain", self.pretrain.selection),
                ("metatrain", self.metatrain.selection),
            )
        ]
        meta = self.metatrain
        asked.append(("metatrain", "base", meta.way, meta.shot + meta.queries))
        asked += [
            (f"evaluate.protocols[{index}]", one.domain, one.way, one.shot + self.evaluate.queries)
            for index, one in enumerate(self.evaluate.protocols)
        ]
        faults = []
        for key, part, way, images in asked:
            able = sum(count >= images for count in counts.get(part, ()))
            if able < way:
                faults.append(
                    f"{PARAMS_FILE}: {key}.way: found {way}, needed at most {able}, the classes "
                    f"of {part} with at least {images} images (shot + queries)"
                )
        if faults:
            raise ParametersError("\n".join(faults))

    def _episode_demands(self) -> list[tuple[str, int, int]]:
        selections = (
            ("pretrain.selection", self.pretrain.selection),
            ("metatrain.selection", self.metatrain.selection),
            ("metatrain", self.metatrain),
        )
        return [(key, part.shot, part.queries) for key, part in selections] + [
            (f"evaluate.protocols[{index}]", protocol.shot, self.evaluate.queries)
            for index, protocol in enumerate(self.evaluate.protocols)
            if protocol.domain == "novel"
        ]
