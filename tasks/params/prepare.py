"""Section `prepare`: which images there are, how they are framed, which classes serve for what."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.params.section import Section, Share

SOURCES_WITH_ROOT = ("image_folder", "archive", "omniglot", "torchvision")


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
    rotated_classes: bool


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
