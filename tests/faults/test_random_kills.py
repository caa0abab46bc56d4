"""A handful of the series of `make faults`, and what its drawing and its table promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kills import PAIRS, TARGETS, draw
from tests.faults.many import line, open_lane
from tests.faults.project import Clean
from tests.faults.series import Lane, suffer
from tests.faults.table import table

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
def lane(
    released_template: tuple[Path, list[Clean]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lane]:
    template, clean = released_template
    lane = open_lane(template, tmp_path_factory.mktemp("lanes") / "one", clean, seed=1)
    try:
        lane.services.start()
        lane.measure_runs()
        yield lane
    finally:
        lane.services.stop()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(1000, 1004))
def test_whatever_is_killed_nothing_is_lost_and_the_next_run_succeeds(
    lane: Lane, number: int
) -> None:
    row = suffer(lane, number)
    assert row.get("recovered"), line(row)
