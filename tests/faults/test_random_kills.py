"""A handful of the series of `make faults`, and what its drawing and its table promise."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults.kills import PAIRS, TARGETS, draw
from tests.faults.many import line
from tests.faults.table import table

NUMBERS = range(1000, 1004)
TIMEOUT_S = 900
RUN_S: Any = {"worker": 10.0, "command": 8.0}


def test_the_same_numbers_give_the_same_kills_and_all_of_them_come_up() -> None:
    drawn = [draw(1, number, RUN_S) for number in range(200)]
    assert drawn == [draw(1, number, RUN_S) for number in range(200)]
    assert drawn != [draw(2, number, RUN_S) for number in range(200)]
    assert {kill.targets for kill in drawn} == {*PAIRS, *((one,) for one in TARGETS)}
    for kill in drawn:
        assert "worker" not in kill.targets or kill.door == "worker"


def test_the_table_counts_what_was_struck_and_names_what_was_not() -> None:
    row = {"number": 0, "targets": ["stage"], "outcome": "exit 0", "recovered": True}
    rows = [row | {"lost_bytes": 0}, row | {"outcome": "failed", "lost_bytes": 7}, {"number": 2}]
    told = list(table(rows))
    assert "| stage | 2 | 1 | 1 | 2 | 7 bytes |" in told
    assert told[-1].startswith("1 more were drawn")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What four faults led to, on a machine with an init."""
    written = tmp_path_factory.mktemp("faults") / "rows.jsonl"
    subprocess.run(
        [
            *(sys.executable, "-m", "tests.faults.init"),
            *(sys.executable, "-m", "tests.faults.many", "--rows", str(written)),
            *("--lanes", "1", "--states", "3"),
            *("--first", str(NUMBERS.start), "--faults", str(len(NUMBERS))),
        ],
        cwd=ROOT,
        check=True,
        timeout=TIMEOUT_S,
    )
    return {row["number"]: row for row in map(json.loads, written.read_text().splitlines())}


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("number", NUMBERS)
def test_whatever_is_killed_nothing_is_lost_and_the_next_run_succeeds(
    rows: dict[int, dict[str, Any]], number: int
) -> None:
    assert rows[number].get("recovered"), line(rows[number])
