"""One figure of a run's metrics, by its path in metrics.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.tables import STARTS
from tasks.artifacts.layout import METRICS
from tasks.errors import DataError


@dataclass(frozen=True)
class Figure:
    """A number that a run reached.

    Attributes:
        name: its path in metrics.json.
        value: finite.
        interval95: half of its 95 % interval, where the metrics hold one.
    """

    name: str
    value: float
    interval95: float | None


def read_figure(metrics: Mapping[str, Any], path: str | None) -> Figure:
    """Take one figure out of the metrics.

    Args:
        metrics: what `evaluate` writes.
        path: dotted, such as results.novel_5way_1shot.accuracy.meta; None takes the first protocol
            and what training reached on it.

    Raises:
        DataError: there is no such figure, or it is no finite number.
    """
    keys = path.split(".") if path is not None else _first(metrics)
    name = ".".join(keys)
    found = _at(metrics, keys, name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise DataError(f"{METRICS}: {name}: found {_told(found)}, needed the path of a number")
    return Figure(name, float(found), _interval(metrics, keys))


def _first(metrics: Mapping[str, Any]) -> list[str]:
    for name, result in metrics["results"].items():
        start = next((one for one in reversed(STARTS) if one in result["accuracy"]), STARTS[-1])
        return ["results", name, "accuracy", start]
    raise DataError(f"{METRICS}: holds no results; evaluate.protocols asks for them")


def _at(metrics: Mapping[str, Any], keys: list[str], name: str) -> Any:
    found: Any = metrics
    for depth, key in enumerate(keys):
        if not isinstance(found, Mapping) or key not in found:
            there = ", ".join(map(str, found)) if isinstance(found, Mapping) else _told(found)
            place = ".".join(keys[:depth]) or "the file"
            raise DataError(f"{METRICS}: no {name}; {place} holds {there}; change metric")
        found = found[key]
    return found


def _interval(metrics: Mapping[str, Any], keys: list[str]) -> float | None:
    """What stands beside a figure: `interval95.meta` beside `accuracy.meta`, or beside `mean`."""
    beside = [*keys[:-1], "interval95"] if keys[-1] == "mean" else [*keys[:-2], "interval95"]
    beside += [] if keys[-1] == "mean" else keys[-1:]
    found: Any = metrics
    for key in beside:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def _told(found: Any) -> str:
    return type(found).__name__ if isinstance(found, Mapping | list) else repr(found)
