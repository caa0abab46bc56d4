"""What a flow run takes above its stages: where all of them run, and where none has to.

Three stages that do next to nothing, in a repository of their own; each round gives them data that
they have not seen. Bare are the stages' own commands, one after the other.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.turns import Figure, taking_turns

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

STAGES = ("first", "second", "third")
ROUNDS = 3

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


def headstart_run(toy: Toy, state: str) -> None:
    code, output = toy.run("headstart", "run")
    assert code == 0, output
    assert output.count(state) >= len(STAGES), output


def test_all_stages_run(toy: Toy, figure: Callable[[Figure], None]) -> None:
    fresh = itertools.count()

    def flow() -> None:
        toy.change_source(f"flow {next(fresh)}")
        headstart_run(toy, " ran ")

    def bare() -> None:
        toy.change_source(f"bare {next(fresh)}")
        for stage in STAGES:
            code, output = toy.run(sys.executable, "toy.py", stage)
            assert code == 0, output

    by_flow, by_hand = taking_turns(flow, bare, rounds=ROUNDS, warm_up=0)
    above = (median(by_flow) - median(by_hand)) / len(STAGES)
    sides = {"flow, warm server": by_flow, "bare": by_hand}
    what = "above the bare stages, for each, the start included"
    figure(Figure(what, "1.5 + start", above, "s", sides))


def test_nothing_changed(toy: Toy, figure: Callable[[Figure], None]) -> None:
    _figure_of_idle(toy, "a warm server", "8 or less", figure)


def test_nothing_changed_with_a_server_of_its_own(
    toy_alone: Toy, figure: Callable[[Figure], None]
) -> None:
    _figure_of_idle(toy_alone, "a server of its own", "20 or less", figure)


def _figure_of_idle(
    toy: Toy, against: str, asked_for: str, figure: Callable[[Figure], None]
) -> None:
    (seconds,) = taking_turns(lambda: headstart_run(toy, "up to date"), rounds=ROUNDS, warm_up=0)
    what = f"`headstart run`, nothing changed, {against}"
    figure(Figure(what, asked_for, median(seconds), "s", {"all of it": seconds}))
