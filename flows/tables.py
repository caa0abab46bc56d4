"""The results, the stages and their times as tables: for terminals and for Prefect."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from flows.repro import StageResult
from tasks.artifacts.files import read_json
from tasks.artifacts.layout import METRICS
from tasks.errors import DataError

STARTS = ("random", "transfer", "meta")


def read_metrics(path: Path = METRICS) -> dict[str, Any]:
    """Read the metrics of the last run.

    Raises:
        DataError: there are none yet, or the file is damaged.
    """
    metrics = read_json(path, "evaluate")
    if not _holds_results(metrics):
        raise DataError(f"{path}: holds no results; `headstart run` makes it anew")
    return metrics


def _holds_results(metrics: Mapping[str, Any]) -> bool:
    needed = {"domain", "way", "shot", "accuracy", "interval95"}
    return (
        isinstance(metrics.get("episodes"), int)
        and isinstance(metrics.get("results"), dict)
        and all(needed <= set(result) for result in metrics["results"].values())
    )


def read_metrics_if_any(path: Path = METRICS) -> dict[str, Any] | None:
    """The metrics of the last run; None where there are none that can be read."""
    try:
        return read_metrics(path)
    except DataError:
        return None


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """Accuracy in percent with its 95 % interval: a row a protocol, a column a start."""
    table = Table(
        title=f"Accuracy in % on unseen classes, 95 % intervals, {metrics['episodes']} episodes",
        box=SIMPLE,
    )
    table.add_column("episodes of", no_wrap=True)
    for title in ("random start", "transfer", "with meta", "meta gain"):
        table.add_column(title, justify="right", no_wrap=True)
    for result in metrics["results"].values():
        table.add_row(
            _protocol(result),
            *(_accuracy(result, start) for start in STARTS),
            _gain(result),
        )
    table.caption = "\n".join(_speed(one) for one in metrics.get("adaptation_curves", {}).values())
    table.caption_justify = "left"
    return table


def first_figure(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """The first protocol, and the accuracy in percent that training reached on it."""
    for result in metrics["results"].values():
        start = next((one for one in reversed(STARTS) if one in result["accuracy"]), STARTS[-1])
        return _protocol(result), _accuracy(result, start)
    return "", "-"


def stages_table(stages: Iterable[StageResult]) -> Table:
    """What was done for each stage, and how long it took."""
    table = Table(title="Stages", box=SIMPLE)
    for name, side in (("stage", "left"), ("state", "left"), ("seconds", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    for result in stages:
        table.add_row(result.stage, result.state, f"{result.seconds:.1f}")
    return table


def stage_rows(stages: Iterable[StageResult]) -> list[dict[str, Any]]:
    """The stages as rows of a Prefect table."""
    return [
        {"stage": result.stage, "state": result.state, "seconds": round(result.seconds, 1)}
        for result in stages
    ]


def comparison_rows(
    metrics: Mapping[str, Any], before: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """The metrics beside the last run's as rows of a Prefect table, in percent."""
    for name, result in metrics["results"].items():
        last = (before or {"results": {}})["results"].get(name)
        for start, accuracy in result["accuracy"].items():
            was = last["accuracy"].get(start) if last else None
            yield {
                "episodes of": _protocol(result),
                "start": start,
                "accuracy %": round(100 * accuracy, 2),
                "interval95 %": round(100 * result["interval95"][start], 2),
                "last run %": "" if was is None else round(100 * was, 2),
                "change": "" if was is None else f"{100 * (accuracy - was):+.2f}",
            }


def _protocol(result: Mapping[str, Any]) -> str:
    within = " within a group" if result.get("within_group") else ""
    uneven = " imbalanced" if result.get("imbalanced") else ""
    return f"{result['domain']} {result['way']}-way {result['shot']}-shot{within}{uneven}"


def _speed(curve: Mapping[str, Any]) -> str:
    """Steps that meta needs for what transfer alone has after the last one."""
    until = curve["starts"]["meta"]["steps_until_target"]
    steps, low, high = ("never" if one is None else one for one in until.values())
    reached = "not reached by meta" if steps == "never" else f"after {steps} steps of meta"
    target = f"transfer's {100 * curve['target']:.2f} {reached}"
    return f"{_protocol(curve)}: {target} [{low}, {high}]"


def _accuracy(result: Mapping[str, Any], start: str) -> str:
    if start not in result["accuracy"]:
        return "-"
    return _with_interval(f"{100 * result['accuracy'][start]:.2f}", result["interval95"][start])


def _gain(result: Mapping[str, Any]) -> str:
    gain = result.get("gain", {}).get("meta_over_transfer")
    return _with_interval(f"{100 * gain['mean']:+.2f}", gain["interval95"]) if gain else "-"


def _with_interval(percent: str, half_width: float) -> str:
    # No blank after the sign: the table is to fit 80 columns.
    return f"{percent} ±{100 * half_width:.2f}"
