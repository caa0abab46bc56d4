"""The flow `training` with recipe or overrides: a plain run in a clone, and what came of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.child_run import run_in_clone
from flows.cloned_run import plan_run, tell_left_out
from flows.repro import StageFailedError, StageResult
from flows.runs import read_ending
from flows.tables import read_metrics_if_any
from tasks.artifacts.layout import METRICS

PLACE = "overrides"


@dataclass(frozen=True)
class TrainingSummary:
    """What one run of the flow did."""

    stages: tuple[StageResult, ...]
    metrics: Mapping[str, Any] | None
    metrics_before: Mapping[str, Any] | None
    seconds: float
    fetched_objects: int = 0
    fetched_bytes: int = 0


def train_overridden(
    root: Path,
    recipe: str | None,
    settings: Sequence[str],
    wait_s: float,
    tell: Callable[[str], None],
) -> TrainingSummary:
    """Train with overrides, in a clone of what is committed.

    The clone's run is a flow run of its own on the same server, with its stages as tasks.

    Args:
        root: of the project.
        recipe: a name or a file.
        settings: `KEY=VALUE` each.
        wait_s: how long to wait for another run of the same clone.
        tell: is called with every line of the run.

    Raises:
        ParametersError: the overrides are not valid; nothing was touched.
        DataError: there is nothing that can be cloned.
        BusyError: the clone remained busy.
        StageFailedError: the run in it failed.
    """
    started = time.monotonic()
    plan = plan_run(root, root, recipe, settings, None, PLACE)
    tell_left_out(plan, tell)
    before, earlier = read_metrics_if_any(plan.folder / METRICS), read_ending(plan.folder)
    code = run_in_clone(plan, wait_s, tell)
    ending = read_ending(plan.folder)
    if code != 0 or ending is None:
        told = ending if ending != earlier else None  # a run may end before it leaves word
        why = (told.error if told else None) or "its lines above say why"
        raise StageFailedError(f"{plan.folder.relative_to(root)}: failed: {why}", code or 1)
    metrics = read_metrics_if_any(plan.folder / METRICS)
    return TrainingSummary(
        ending.stages,
        metrics,
        before,
        time.monotonic() - started,
        fetched_objects=sum(one.fetched_objects for one in ending.stages),
        fetched_bytes=sum(one.fetched_bytes for one in ending.stages),
    )
