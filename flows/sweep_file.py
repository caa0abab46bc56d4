"""What a sweep file asks for: which params to try, what to look at, and how many at a time."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic import model_validator as check

from tasks.errors import ParametersError
from tasks.params_file import read_sections


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Part):
    """Numbers from `low` to `high`, both included; whole ones where both are whole."""

    low: int | float
    high: int | float
    log: bool = False

    @check(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"found low {self.low} and high {self.high}, needed low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"found low {self.low}, needed one above 0 for log: true")
        return self


def _kind(value: Any) -> str:
    return "choices" if isinstance(value, list) else "range"


Choices = Annotated[list[Any], Field(min_length=1)]
Axis = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)
]


class Search(_Part):
    """Trials that a sampler of Optuna proposes, each from what those before it reached.

    Attributes:
        sampler: tpe learns from the trials so far, random does not.
        trials: how many.
        seed: of the sampler.
        space: from the key in params.yaml to what it may be.
    """

    sampler: Literal["tpe", "random"] = "tpe"
    trials: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)] = 1
    space: Annotated[Mapping[str, Axis], Field(min_length=1)]


class Sweep(_Part):
    """A sweep, as its file says.

    Attributes:
        recipe: laid below every trial, or none.
        grid: from the key in params.yaml to its values; every combination is a trial.
        search: in place of a grid.
        metric: a path into metrics.json; None takes the first protocol, after meta-training.
        direction: which metric is the better one.
        workers: trials at a time.
        runner: of Prefect: threads of this process, or the processes of a Dask cluster.
        scheduler: address of a running Dask cluster; none starts one of `workers` on loopback.
    """

    recipe: str | None = None
    grid: Annotated[Mapping[str, Choices], Field(min_length=1)] | None = None
    search: Search | None = None
    metric: Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$")] | None = None
    direction: Literal["maximize", "minimize"] = "maximize"
    workers: Annotated[int, Field(ge=1)] = 1
    runner: Literal["threads", "dask"] = "threads"
    scheduler: str | None = None

    @check(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.grid is None) == (self.search is None):
            found = "neither" if self.grid is None else "both"
            raise ValueError(f"grid, search: found {found}, needed exactly one of them")
        if self.scheduler is not None and self.runner != "dask":
            raise ValueError("scheduler: needs runner: dask")
        return self

    @property
    def axes(self) -> Mapping[str, Any]:
        """The keys that trials differ in, with what they may be."""
        return self.grid if self.grid is not None else self._asked.space

    @property
    def _asked(self) -> Search:
        assert self.search is not None  # one of the two is there
        return self.search

    @property
    def identity(self) -> str:
        """Tells one search from another; more trials or workers leave it the same one."""
        asked = self.model_dump(
            mode="json",
            exclude={"workers": True, "runner": True, "scheduler": True, "search": {"trials"}},
        )
        canonical = json.dumps(asked, sort_keys=True)
        return hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()


def read_sweep(path: Path) -> Sweep:
    """Read and check a sweep file.

    Raises:
        ParametersError: it is missing, no YAML, or holds what cannot be meant; a line a fault.
    """
    content = read_sections(path)
    try:
        return Sweep.model_validate(content)
    except ValidationError as error:
        faults = [_describe(path, fault) for fault in error.errors()]
        raise ParametersError("\n".join(faults)) from None


def _describe(path: Path, fault: Any) -> str:
    location = [str(one) for one in fault["loc"] if one not in ("range", "choices")]
    place = ": ".join([str(path), *filter(None, [".".join(location)])])
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if fault["type"] == "value_error":
        return f"{place}: {message}"
    if fault["type"] == "missing":
        return f"{place}: missing; it is required"
    if fault["type"] == "extra_forbidden":
        part: type[BaseModel] = (Sweep, Search, Range)[min(len(location) - 1, 2)]
        return f"{place}: unknown key; allowed here: {', '.join(part.model_fields)}"
    return f"{place}: found {fault['input']!r}, needed {message}"
