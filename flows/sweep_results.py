"""What the trials of a sweep reached: for terminals, for Prefect and for the page."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from flows.overrides import setting_word
from flows.proposals import Point
from flows.repro import StageResult
from flows.trial import Outcome


@dataclass(frozen=True)
class Trial:
    """One trial with its end.

    Attributes:
        name: of its run under `runs/`.
        point: what it overrides.
        outcome: None where it failed.
        error: why it failed.
    """

    name: str
    point: Point
    outcome: Outcome | None
    error: str | None

    @property
    def value(self) -> float | None:
        """What it reached."""
        return self.outcome.figure.value if self.outcome else None

    @property
    def state(self) -> str:
        """In words."""
        if self.outcome is None:
            return "failed"
        return "finished before" if self.outcome.kept else "finished"

    @property
    def overrides(self) -> str:
        """In one line."""
        return " ".join(setting_word(key, value) for key, value in self.point.items())


@dataclass(frozen=True)
class SweepSummary:
    """What one sweep found.

    Attributes:
        name: of the sweep.
        direction: which value is the better one.
        trials: in the order in which they began.
    """

    name: str
    direction: Literal["maximize", "minimize"]
    trials: tuple[Trial, ...]

    @property
    def failed(self) -> list[Trial]:
        """Those that did not reach their end."""
        return [trial for trial in self.trials if trial.outcome is None]

    @property
    def ranked(self) -> list[Trial]:
        """Those that did, the best one first; of equals, the one that began first."""
        sign = -1 if self.direction == "maximize" else 1
        finished = [(trial.value, trial) for trial in self.trials]
        reached = [(value, trial) for value, trial in finished if value is not None]
        return [trial for _, trial in sorted(reached, key=lambda one: sign * one[0])]

    @property
    def metric(self) -> str:
        """What was looked at."""
        return next((one.outcome.figure.name for one in self.trials if one.outcome), "")


def outcome_line(outcome: Outcome) -> str:
    """How a trial ended, in one line."""
    told = reached(outcome)
    if outcome.kept:
        return f"{told}, finished before"
    return f"{told}, {stages_told(outcome.stages)}, {outcome.seconds:.0f} s"


def reached(outcome: Outcome) -> str:
    """The figure with its interval."""
    figure = outcome.figure
    half = "" if figure.interval95 is None else f" ±{figure.interval95:.4f}"
    return f"{figure.value:.4f}{half}"


def stages_told(stages: Iterable[StageResult]) -> str:
    """How many stages were restored and so on, such as `4 restored, 1 ran`."""
    counts = Counter(one.state for one in stages)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def trial_rows(summary: SweepSummary) -> list[dict[str, Any]]:
    """The trials as rows, the best one first and those that failed last."""
    rows = []
    for trial in [*summary.ranked, *summary.failed]:
        figure = trial.outcome.figure if trial.outcome else None
        rows.append(
            {
                "trial": trial.name,
                "state": trial.state,
                "value": figure.value if figure else "",
                "interval95": figure.interval95 if figure and figure.interval95 else "",
                "stages": stages_told(trial.outcome.stages) if trial.outcome else "",
                "seconds": round(trial.outcome.seconds, 1) if trial.outcome else "",
                "overrides": trial.overrides,
                "error": trial.error or "",
            }
        )
    return rows


def sweep_table(summary: SweepSummary) -> Table:
    """The trials for a terminal."""
    table = Table(title=f"{summary.name}: {summary.metric or 'nothing reached'}", box=SIMPLE)
    for column in ("trial", "value", "stages"):
        table.add_column(column, no_wrap=True)
    table.add_column("overrides")
    for trial in [*summary.ranked, *summary.failed]:
        outcome = trial.outcome
        told = (reached(outcome), stages_told(outcome.stages)) if outcome else ("failed", "-")
        table.add_row(*map(Text, (trial.name, *told, trial.overrides)))
    return table
