"""Section `evaluate`: what is measured on classes that no training saw."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params.section import Device, PositiveFloat, PositiveInt, Section

EVERY_DOMAIN = "every"
ALL_CLASSES = "all"


class Protocol(Section):
    """One kind of episode and the classes it is drawn from."""

    domain: str
    way: Annotated[int, Field(ge=2)] | Literal["all"]
    shot: PositiveInt
    within_group: bool = False
    imbalanced: bool = False

    @property
    def name(self) -> str:
        """How tables and files call it, for example `novel 5-way 1-shot`."""
        within = " within a group" if self.within_group else ""
        uneven = " imbalanced" if self.imbalanced else ""
        return f"{self.domain} {self.way}-way {self.shot}-shot{within}{uneven}"

    @property
    def key(self) -> str:
        """How `metrics.json` calls it, for example `novel_5way_1shot`."""
        within = "_within_group" if self.within_group else ""
        uneven = "_imbalanced" if self.imbalanced else ""
        return f"{self.domain}_{self.way}way_{self.shot}shot{within}{uneven}"

    @property
    def least_way(self) -> int:
        """How many classes there have to be."""
        return self.way if isinstance(self.way, int) else 2

    @model_validator(mode="after")
    def _all_is_of_no_group(self) -> Self:
        if self.within_group and self.way == ALL_CLASSES:
            raise ValueError(
                "way: all needs within_group: false; groups differ in how many classes they have"
            )
        if self.imbalanced and self.shot == 1:
            raise ValueError("imbalanced: true needs a shot of at least 2, for 1 .. shot images")
        return self


class Curve(Section):
    """Accuracy against gradient steps; ways and shots shrink to what the classes carry."""

    domain: str = EVERY_DOMAIN
    way: Annotated[int, Field(ge=2)]
    shot: PositiveInt
    episodes: Annotated[int, Field(ge=30)]


class ShotsCurve(Section):
    """Accuracy against shots, as far as the classes carry them."""

    domain: str = EVERY_DOMAIN
    way: Annotated[int, Field(ge=2)]
    shots: Annotated[list[PositiveInt], Field(min_length=1)]
    queries: PositiveInt
    episodes: Annotated[int, Field(ge=30)]


class FineTuning(Section):
    """What transfer alone may try on validation classes before it is measured at its best."""

    episodes: Annotated[int, Field(ge=10)]
    penalties: list[PositiveFloat]
    learning_rates: list[PositiveFloat]
    steps: Annotated[list[PositiveInt], Field(min_length=1)]
    network: bool
    network_learning_rates: Annotated[list[PositiveFloat], Field(min_length=1)]
    network_steps: Annotated[list[PositiveInt], Field(min_length=1)]


class Evaluate(Section):
    """What is measured on classes that no training saw."""

    episodes: Annotated[int, Field(ge=30)]
    queries: PositiveInt
    adaptation: Literal[
        "learner",
        "prototype",
        "cosine",
        "centred_cosine",
        "ridge",
        "linear_fine_tuning",
        "network_fine_tuning",
    ]
    transductive: bool
    device: Device = "cpu"
    workers: PositiveInt = 1
    runner: Literal["processes", "dask"] = "processes"
    protocols: Annotated[list[Protocol], Field(min_length=1)]
    curve: list[Curve]
    shots: list[ShotsCurve]
    fine_tuning: FineTuning

    def domains(self, asked: str) -> list[str]:
        """The domains that a curve is drawn for: its own, or each that a protocol names."""
        if asked != EVERY_DOMAIN:
            return [asked]
        return list(dict.fromkeys(one.domain for one in self.protocols))

    @model_validator(mode="after")
    def _protocols_differ(self) -> Self:
        keys = [one.key for one in self.protocols]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"protocols: found {twice} twice, needed once")
        return self
