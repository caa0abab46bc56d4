"""Both doors do the same, and tell what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.artifacts.layout import LISTING

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

pytestmark = pytest.mark.slow


def states(output: str) -> dict[str, str]:
    """The state of each stage, from the lines `STAGE: STATE, N s`."""
    found = {}
    for line in output.splitlines():
        name, _, rest = line.partition(": ")
        state = rest.partition(",")[0]
        if name in ("first", "second", "third") and state in ("ran", "restored", "up to date"):
            found[name] = state
    return found


def test_ran_restored_and_up_to_date_are_told_apart(toy: Toy) -> None:
    toy.change_params("name: glyphs", "name: other")
    _, output = toy.run("headstart", "run")
    assert states(output) == {"first": "up to date", "second": "up to date", "third": "ran"}
    toy.change_params("name: other", "name: glyphs")
    _, output = toy.run("headstart", "run")
    assert states(output) == {"first": "up to date", "second": "up to date", "third": "restored"}
    assert toy.starts() == ["third"]


def test_both_doors_leave_the_same_lock_and_the_other_finds_nothing_to_do(toy: Toy) -> None:
    by_flow = toy.lock_bytes()  # the template was made by the flow
    code, output = toy.run("dvc", "repro")
    assert code == 0
    assert "Running stage" not in output
    (toy.root / "dvc.lock").unlink()
    code, output = toy.run("dvc", "repro", "--force", "--no-run-cache")
    assert code == 0, output
    assert toy.starts() == ["first", "second", "third"]
    assert toy.lock_bytes() == by_flow
    _, output = toy.run("headstart", "run")
    assert set(states(output).values()) == {"up to date"}


def test_a_listing_of_a_watch_that_is_over_is_removed(toy: Toy) -> None:
    listing = toy.root / LISTING
    listing.parent.mkdir(parents=True)
    (listing.parent / "README.md").touch()
    listing.touch()
    code, output = toy.run("headstart", "run")
    assert code == 0, output
    assert [path.name for path in listing.parent.iterdir()] == ["README.md"]


def test_a_fault_of_a_stage_is_told_in_its_own_lines_and_the_outputs_come_back(toy: Toy) -> None:
    before, lock = toy.outputs(), toy.lock_bytes()
    toy.change_source("changed")
    (toy.root / "fail-first").touch()
    code, output = toy.run("headstart", "run")
    assert code == 2
    assert "first: first.txt: a fault on purpose" in output
    assert "first: and a second line of it" in output
    assert "Traceback" not in output
    assert toy.starts() == ["first"], "a fault in the data is not tried again"
    assert toy.outputs() == before
    assert toy.lock_bytes() == lock


def test_bare_dvc_is_told_how_the_outputs_come_back(toy: Toy) -> None:
    before = toy.outputs()
    toy.change_source("changed")
    (toy.root / "fail-first").touch()
    code, output = toy.run("dvc", "repro")
    assert code != 0
    assert "`dvc checkout --force first` brings back the previous outputs" in output
    assert toy.run("dvc", "checkout", "--force", "first")[0] == 0
    assert toy.outputs() == before


def test_params_edited_while_a_stage_runs_are_not_recorded(toy: Toy) -> None:
    lock = toy.lock_bytes()
    toy.change_source("changed")
    held = toy.hold("first")
    flow = toy.start("headstart", "run")
    toy.wait_for_start("first")
    toy.change_params("samples_per_class: 20", "samples_per_class: 25")
    held.unlink()
    code, output = toy.finish(flow)
    assert code == 2
    assert "params.yaml: prepare.glyphs.samples_per_class: 20 -> 25" in output
    assert toy.lock_bytes() == lock
    code, _ = toy.run("dvc", "repro")
    assert code == 0
    assert b"samples_per_class: 25" in toy.lock_bytes()


def test_a_typo_in_params_stops_before_anything_starts(toy: Toy) -> None:
    toy.change_params("  epochs: ", "  epoch: ")
    code, output = toy.run("headstart", "run")
    assert code == 2
    assert "params.yaml: pretrain.epoch: unknown key; did you mean epochs?" in output
    assert "Traceback" not in output
    assert not toy.starts()


def test_outputs_come_back_when_a_stage_cannot_even_begin(toy: Toy) -> None:
    before = toy.outputs()
    toy.change_source("changed")
    code = toy.root / "toy.py"
    kept = code.read_text()
    code.write_text("this is no Python\n")
    exit_code, output = toy.run("headstart", "run")
    assert exit_code != 0
    assert "first: the previous outputs are back in place" in output
    assert toy.outputs() == before
    code.write_text(kept)
    exit_code, output = toy.run("headstart", "run")
    assert exit_code == 0, output
