"""What is told of a sweep: the ranking, the figure, the page."""

from pathlib import Path
from typing import Any

import pytest

from flows.metric import Figure, read_figure
from flows.repro import StageResult
from flows.sweep_page import sweep_page, write_results
from flows.sweep_results import SweepSummary, Trial, sweep_table, trial_rows
from flows.trial import Outcome
from tasks.errors import DataError

STAGES = (StageResult("prepare", "restored", 0.5), StageResult("evaluate", "ran", 2.0))


def trial(name: str, value: float | None, **point: Any) -> Trial:
    if value is None:
        return Trial(name, point, None, "evaluate: <b>no</b>")
    return Trial(name, point, Outcome(Figure("results.a.b", value, 0.01), STAGES, 3.0, False), None)


def summary(direction: Any = "maximize") -> SweepSummary:
    trials = (trial("a", 0.5, rate=0.1), trial("b", None, rate=1), trial("c", 0.7, rate=10))
    return SweepSummary("rates", direction, trials)


def test_the_best_comes_first_and_what_failed_last() -> None:
    assert [row["trial"] for row in trial_rows(summary())] == ["c", "a", "b"]
    assert [row["trial"] for row in trial_rows(summary("minimize"))] == ["a", "c", "b"]
    assert [row["state"] for row in trial_rows(summary())] == ["finished", "finished", "failed"]
    assert trial_rows(summary())[0]["stages"] == "1 restored, 1 ran"
    assert sweep_table(summary()).row_count == 3


def test_of_equal_trials_the_one_that_began_first_is_the_best() -> None:
    equal = SweepSummary("s", "maximize", (trial("a", 0.5, x=1), trial("b", 0.5, x=2)))
    assert equal.ranked[0].name == "a"


def test_the_page_stands_alone_and_escapes_what_it_tells(tmp_path: Path) -> None:
    page = write_results(tmp_path, summary()).read_text()
    assert page == sweep_page(summary())
    assert "<b>no</b>" not in page and "&lt;b&gt;no" in page
    assert "src=" not in page and "http" not in page
    assert "headstart adopt c" in page
    assert (tmp_path / "outputs/sweep/rates/trials.csv").read_text().startswith("trial,state,")


def test_a_page_of_nothing_but_failures_says_so() -> None:
    page = sweep_page(SweepSummary("s", "maximize", (trial("a", None, x=1),)))
    assert "<svg" not in page and "failed" in page


def test_without_a_path_the_figure_is_what_training_reached_first(metrics: dict[str, Any]) -> None:
    first = read_figure(metrics, None)
    assert first == Figure("results.novel_5way_1shot.accuracy.meta", 0.985, 0.002)
    path = "results.novel_5way_1shot.gain.meta_over_transfer.mean"
    assert read_figure(metrics, path) == Figure(path, 0.005, 0.001)
    assert read_figure(metrics, "episodes") == Figure("episodes", 1000, None)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("results.novel", "no results.novel; results holds novel_5way_1shot; change metric"),
        ("results.novel_5way_1shot.domain", "found 'novel', needed the path of a number"),
        ("results", "found dict, needed the path of a number"),
        ("episodes.a", "no episodes.a; episodes holds 1000"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_with_what_is_there(
    metrics: dict[str, Any], path: str, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        read_figure(metrics, path)
