from pathlib import Path
from typing import Any

import pytest

from flows.repro import StageResult
from flows.tables import comparison_rows, metrics_table, read_metrics, stage_rows
from tasks.errors import DataError


def test_metrics_stand_beside_the_last_runs_in_percent(metrics: dict[str, Any]) -> None:
    result = metrics["results"]["novel_5way_1shot"]
    before = {"results": {"novel_5way_1shot": {**result, "accuracy": {"meta": 0.97}}}}
    rows = {row["start"]: row for row in comparison_rows(metrics, before)}
    assert rows["meta"] == {
        "episodes of": "novel 5-way 1-shot",
        "start": "meta",
        "accuracy %": 98.5,
        "interval95 %": 0.2,
        "last run %": 97.0,
        "change": "+1.50",
    }
    assert rows["random"]["change"] == ""


def test_a_first_run_has_nothing_to_stand_beside(metrics: dict[str, Any]) -> None:
    assert all(row["last run %"] == "" for row in comparison_rows(metrics, None))


def test_stages_become_rows() -> None:
    rows = stage_rows([StageResult("prepare", "restored", 1.234)])
    assert rows == [{"stage": "prepare", "state": "restored", "seconds": 1.2}]


@pytest.mark.parametrize("text", ["{", "[]", '{"results": 1}'])
def test_damaged_metrics_are_told_with_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json"):
        read_metrics(path)


def test_the_table_says_how_fast_meta_adapts_where_that_was_measured(
    metrics: dict[str, Any],
) -> None:
    assert metrics_table(metrics).caption == ""
    until = {"steps": 0, "low": 0, "high": None}
    metrics["adaptation_curves"] = {
        "one": {
            "domain": "novel",
            "way": 20,
            "shot": 1,
            "target": 0.9764,
            "starts": {"meta": {"steps_until_target": until}},
        }
    }
    told = "novel 20-way 1-shot: transfer's 97.64 after 0 steps of meta [0, never]"
    assert metrics_table(metrics).caption == told
    until["steps"] = None
    told = "novel 20-way 1-shot: transfer's 97.64 not reached by meta [0, never]"
    assert metrics_table(metrics).caption == told
