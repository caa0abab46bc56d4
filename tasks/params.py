"""The frozen mirror of `params.yaml`: one class a stage, nothing unknown, nothing impossible."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

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


class Splits(Section):
    """Which classes are kept for what; a class is in one split, whatever else changes.

    Lists name classes or whole groups. What they do not name is left out by `list`, and hashed by
    its name into a split of about the given share by `share` (each class) and `group` (each group).
    """

    by: Literal["share", "group", "list", "table"]
    validation_share: Share
    novel_share: Share
    minimum_images: Annotated[int, Field(ge=0)]
    base: list[str]
    validation: list[str]
    novel: list[str]

    @property
    def lists(self) -> dict[str, list[str]]:
        """Split -> the classes and groups that it is to have."""
        return {"base": self.base, "validation": self.validation, "novel": self.novel}

    @property
    def shares(self) -> dict[str, float]:
        """Split -> about which share of classes or groups; the rest is base."""
        return {"validation": self.validation_share, "novel": self.novel_share}

    @model_validator(mode="after")
    def _splits_are_disjoint(self) -> Self:
        seen: dict[str, str] = {}
        for key, names in self.lists.items():
            for name in names:
                if name in seen:
                    raise ValueError(
                        f"{name} stands in {seen[name]} and again in {key}; name it once, or "
                        "novel classes are not novel"
                    )
                seen[name] = key
        if self.validation_share + self.novel_share > 1:
            raise ValueError(
                f"validation_share + novel_share = {self.validation_share + self.novel_share:g}, "
                "needed at most 1"
            )
        return self


class Glyphs(Section):
    """Read by source glyphs."""

    samples_per_class: Annotated[int, Field(ge=2, le=1000)]
    minimum_typefaces: Annotated[int, Field(ge=1, le=16)]
    maximum_similarity: Share


class Omniglot(Section):
    """Read by source omniglot."""

    rotated_classes: bool


class Torchvision(Section):
    """Read by source torchvision."""

    dataset: str
    download: bool


class Fake(Section):
    """Read by source fake."""

    classes: Annotated[int, Field(ge=2, le=10_000)]
    images: Annotated[int, Field(ge=2, le=1_000_000)]
    image_size_px: Annotated[int, Field(ge=1, le=1024)]


SOURCES_WITH_ROOT = ("image_folder", "archive", "omniglot", "torchvision")


class Prepare(Section):
    """Which images there are, how they are framed, and which classes are kept for what."""

    source: Literal["glyphs", "image_folder", "archive", "omniglot", "torchvision", "fake"]
    root: str
    watch: Annotated[list[Literal["root"]], Field(max_length=1)]
    image_size_px: Annotated[int, Field(ge=16, le=512)]
    channels: Literal[1, 3]
    framing: Literal["ink", "crop"]
    maximum_image_pixels: Annotated[int, Field(ge=256, le=200_000_000)]
    max_rejected_share: Share
    splits: Splits
    domains: list[Literal["digits"]]
    glyphs: Glyphs
    omniglot: Omniglot
    torchvision: Torchvision
    fake: Fake

    def finding(self) -> dict[str, Any]:
        """The arguments of `tasks.sources.find.find_images`."""
        return {
            "source": self.source,
            "root": self.root,
            "rotated_classes": self.omniglot.rotated_classes,
            "dataset": self.torchvision.dataset,
            "download": self.torchvision.download,
            "fake_classes": self.fake.classes,
            "fake_images": self.fake.images,
            "fake_image_size_px": self.fake.image_size_px,
        }

    @model_validator(mode="after")
    def _root_is_named(self) -> Self:
        if self.source in SOURCES_WITH_ROOT and not self.root:
            raise ValueError(
                f"root: empty, needed the folder, table, archive or address of the images that "
                f"source {self.source} reads: --set prepare.root=PATH"
            )
        if self.watch and self.source not in SOURCES_WITH_ROOT:
            raise ValueError(f"watch: source {self.source} has no root to watch; needed []")
        if self.source == "glyphs" and self.splits.by != "list":
            raise ValueError(f"splits.by: source glyphs needs list, found {self.splits.by}")
        if self.splits.by == "table" and self.source != "image_folder":
            raise ValueError(f"splits.by: table needs source image_folder, found {self.source}")
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
    within_group: bool = False

    @property
    def name(self) -> str:
        """How tables and files call it, for example `novel 5-way 1-shot`."""
        within = " within a group" if self.within_group else ""
        return f"{self.domain} {self.way}-way {self.shot}-shot{within}"


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
        samples = self.prepare.glyphs.samples_per_class
        for key, shot, queries in self._episode_demands():
            if self.prepare.source == "glyphs" and shot + queries > samples:
                raise ValueError(
                    f"{key}: shot + queries = {shot} + {queries} is more than "
                    f"prepare.glyphs.samples_per_class = {samples}; ask for fewer or render more"
                )
        domains = {"novel", *self.prepare.domains}
        for index, protocol in enumerate(self.evaluate.protocols):
            if protocol.domain not in domains:
                raise ValueError(
                    f"evaluate.protocols[{index}].domain: found '{protocol.domain}', needed one "
                    f"of {', '.join(sorted(domains))}"
                )
        return self

    def images_needed(self) -> dict[str, int]:
        """Split -> how many images a class needs to serve in any episode drawn from it."""
        selections = (self.pretrain.selection, self.metatrain.selection)
        novel = [one.shot for one in self.evaluate.protocols if one.domain == "novel"]
        needed = {
            "base": self.metatrain.shot + self.metatrain.queries,
            "validation": min(one.shot + one.queries for one in selections),
        }
        return needed | ({"novel": min(novel) + self.evaluate.queries} if novel else {})

    def check_episodes(self, classes: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Check that every episode asked for can be drawn from the classes there are.

        Args:
            classes: part of the image store -> group and number of images of each of its classes.

        Raises:
            ParametersError: too few classes, or too few images in them; a line a fault.
        """
        asked = [
            (f"{key}.selection", "validation", one.way, one.shot + one.queries, False)
            for key, one in (
                ("pretrain", self.pretrain.selection),
                ("metatrain", self.metatrain.selection),
            )
        ]
        meta = self.metatrain
        asked.append(("metatrain", "base", meta.way, meta.shot + meta.queries, False))
        asked += [
            (
                f"evaluate.protocols[{index}]",
                one.domain,
                one.way,
                one.shot + self.evaluate.queries,
                one.within_group,
            )
            for index, one in enumerate(self.evaluate.protocols)
        ]
        faults = []
        for key, part, way, images, within_group in asked:
            able = Counter(
                group if within_group else ""
                for group, count in classes.get(part, ())
                if count >= images and (group or not within_group)
            )
            most = max(able.values(), default=0)
            if most < way:
                where = "of one group " if within_group else ""
                faults.append(
                    f"{PARAMS_FILE}: {key}.way: found {way}, needed at most {most}, the classes "
                    f"{where}of {part} with at least {images} images (shot + queries)"
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
