"""What a candidate has to reach to be released: `release.yaml`, held against what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from tasks.errors import HeadstartError, ParametersError
from tasks.params.section import NonNegativeFloat, PositiveInt, Section
from tasks.params_file import read_sections

if TYPE_CHECKING:  # it brings the graphs' runtime along, and a rollback is to take seconds
    from flows.comparing import Compared

RELEASE_FILE = Path("release.yaml")


class RefusedError(HeadstartError):
    """A candidate did not pass; what was released before stays released."""

    exit_code = 3


class Bounds(Section):
    """How a candidate has to stand to the released model; None leaves it to the wider setting."""

    min_gain: float | None = None
    max_drop: NonNegativeFloat | None = None


class Gate(Section):
    """All of `release.yaml`."""

    min_gain: float | None = None
    max_drop: NonNegativeFloat | None = 0.01
    domains: dict[str, Bounds] = Field(default_factory=dict)
    protocols: dict[str, Bounds] = Field(default_factory=dict)
    push: bool = True
    git_remote: str = ""
    require_approval: bool = False
    approval_timeout_s: PositiveInt = 86_400

    def bounds(self, compared: "Compared") -> Bounds:
        """What counts for one protocol: its own setting, else its domain's, else the general."""
        layers = (
            self.protocols.get(compared.key, Bounds()),
            self.domains.get(compared.domain, Bounds()),
            Bounds(min_gain=self.min_gain, max_drop=self.max_drop),
        )
        gains = [one.min_gain for one in layers if one.min_gain is not None]
        drops = [one.max_drop for one in layers if one.max_drop is not None]
        return Bounds(min_gain=next(iter(gains), None), max_drop=next(iter(drops), None))


def load_gate(folder: Path) -> Gate:
    """Read `release.yaml`; a project without one has the defaults.

    Raises:
        ParametersError: it is no YAML of these settings; a line a fault.
    """
    path = folder / RELEASE_FILE
    if not path.exists():
        return Gate()
    sections = read_sections(path)
    try:
        return Gate.model_validate(sections)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            key = ".".join(map(str, fault["loc"]))
            if fault["type"] == "extra_forbidden":
                allowed = (Gate if len(fault["loc"]) == 1 else Bounds).model_fields
                faults.append(
                    f"{RELEASE_FILE}: {key}: unknown key; allowed here: {', '.join(allowed)}"
                )
            else:
                needed = fault["msg"].removeprefix("Input should be ")
                faults.append(f"{RELEASE_FILE}: {key}: found {fault['input']!r}, needed {needed}")
        raise ParametersError("\n".join(faults)) from None


def unmet(gate: Gate, found: "Sequence[Compared]") -> list[str]:
    """Why a candidate may not be released, a line a reason; none lets it pass.

    Raises:
        ParametersError: the gate names a protocol or domain that was not measured.
    """
    _check_names("protocols", gate.protocols, [one.key for one in found])
    _check_names("domains", gate.domains, [one.domain for one in found])
    return [reason for one in found for reason in _reasons(gate.bounds(one), one)]


def _check_names(key: str, asked: Mapping[str, Bounds], measured: Sequence[str]) -> None:
    if unknown := sorted(set(asked) - set(measured)):
        there = ", ".join(dict.fromkeys(measured))
        raise ParametersError(
            f"{RELEASE_FILE}: {key}.{unknown[0]}: not measured; params.yaml measures {there}"
        )


def _reasons(bounds: Bounds, one: "Compared") -> Iterator[str]:
    gain = one.difference
    if gain is None:
        return
    told = f"{one.name}: found {100 * gain.mean:+.2f} ± {100 * gain.interval95:.2f} points"
    if bounds.max_drop is not None and gain.mean - gain.interval95 < -bounds.max_drop:
        yield f"{told}, needed the whole interval above {-100 * bounds.max_drop:.2f} (max_drop)"
    if bounds.min_gain is not None and gain.mean < bounds.min_gain:
        yield f"{told}, needed a mean of at least {100 * bounds.min_gain:+.2f} (min_gain)"
