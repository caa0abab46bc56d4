"""The results of a sweep as files: a table, and one page with everything inside."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from flows.sweep_results import SweepSummary, Trial, trial_rows
from tasks.artifacts.files import complete_folder, write_csv
from tasks.evaluate.drawing import INK, chart, colour

RESULTS = Path("outputs/sweep")
PAGE = "index.html"
TABLE = "trials.csv"
DRAWN = 40  # trials in the first chart; the table has them all


def write_results(root: Path, summary: SweepSummary) -> Path:
    """Write table and page, in the place of those of an earlier sweep of the same name.

    Returns:
        The page.

    Raises:
        OSError: the place is read-only or full.
    """
    folder = root / RESULTS / summary.name
    rows = trial_rows(summary)
    with complete_folder(folder) as partial:
        write_csv(partial / TABLE, rows, list(rows[0]))
        (partial / PAGE).write_text(sweep_page(summary), encoding="utf-8")
    return folder / PAGE


def sweep_page(summary: SweepSummary) -> str:
    """The page: opens from disk, asks no network."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = files("flows").joinpath("sweep.html.j2").read_text(encoding="utf-8")
    ranked = summary.ranked
    keys = list(summary.trials[0].point)
    return environment.from_string(text).render(
        summary=summary,
        best=ranked[0] if ranked else None,
        rows=trial_rows(summary),
        ranking=_ranking(ranked[:DRAWN]) if ranked else "",
        charts=[(key, _against(key, ranked)) for key in keys if _differs(key, ranked)],
    )


def _ranking(ranked: Sequence[Trial]) -> str:
    with chart(0.8 + 0.24 * len(ranked)) as (drawn, _, axes):
        for row, trial in enumerate(reversed(ranked)):
            if trial.outcome is None:
                continue
            figure = trial.outcome.figure
            axes.errorbar(
                figure.value,
                row,
                xerr=figure.interval95,
                fmt="o",
                markersize=4,
                color=colour("meta" if trial is ranked[0] else "transfer"),
            )
        axes.set_yticks(range(len(ranked)), [one.name for one in reversed(ranked)])
        axes.set_ylim(-0.7, len(ranked) - 0.3)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
    return drawn.svg


def _against(key: str, ranked: Sequence[Trial]) -> str:
    """What was reached against one of the params, all others as they came."""
    given = [trial.point[key] for trial in ranked]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in given)
    names = sorted({str(one) for one in given})
    places = given if numbers else [names.index(str(one)) for one in given]
    with chart(2.6) as (drawn, _, axes):
        values = [trial.value for trial in ranked if trial.value is not None]
        axes.scatter(places, values, s=18, color=colour("transfer"))
        axes.scatter(places[:1], values[:1], s=30, color=colour("meta"), edgecolors=INK, zorder=3)
        if not numbers:
            axes.set_xticks(range(len(names)), [one[:24] for one in names])
            axes.set_xlim(-0.5, len(names) - 0.5)
        elif min(given) > 0 and max(given) / min(given) >= 20:
            axes.set_xscale("log")
        axes.set_xlabel(key)
        axes.grid()
        axes.set_axisbelow(True)
    return drawn.svg


def _differs(key: str, ranked: Sequence[Trial]) -> bool:
    return len({str(trial.point[key]) for trial in ranked}) > 1
