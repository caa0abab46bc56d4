import logging
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from tasks.artifacts import checkpoints as module
from tasks.artifacts.checkpoints import FOLDER, Checkpoints
from tests.threads import torch_threads

STATE = {
    "weights": {"weight": torch.arange(600.0).view(20, 30)},
    "history": [{"epoch": 1, "loss": 0.1, "accuracy": None}],
    "name": "adamw",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def kept() -> Path:
    (path,) = (FOLDER / "train").iterdir()
    return path


def same(state: object) -> bool:
    return (
        isinstance(state, dict)
        and torch.equal(state["weights"]["weight"], STATE["weights"]["weight"])  # type: ignore[index]
        and {**state, "weights": 0} == {**STATE, "weights": 0}
    )


def test_what_was_saved_last_comes_back_until_it_is_cleared() -> None:
    checkpoints = Checkpoints("train", "key")
    assert checkpoints.load() is None
    checkpoints.save({"done": 1})
    checkpoints.save(STATE)
    assert same(Checkpoints("train", "key").load())
    checkpoints.clear()
    assert Checkpoints("train", "key").load() is None
    assert not (FOLDER / "train").exists()


def test_an_optimizer_with_a_schedule_comes_back_to_the_bit() -> None:
    def made() -> tuple[nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        layer = nn.Linear(3, 2)
        adam = torch.optim.AdamW(layer.parameters(), lr=0.1)
        return layer, adam, torch.optim.lr_scheduler.OneCycleLR(adam, 0.1, total_steps=9)

    def step(parts: tuple[nn.Module, torch.optim.Optimizer, object]) -> None:
        parts[1].zero_grad()
        parts[0](torch.ones(4, 3)).square().sum().backward()
        parts[1].step()
        parts[2].step()  # type: ignore[attr-defined]

    first, second = made(), made()
    for _ in range(3):
        step(first)
    names = ("layer", "optimizer", "schedule")
    Checkpoints("train", "key").save(
        {name: part.state_dict() for name, part in zip(names, first, strict=True)}
    )
    state = Checkpoints("train", "key").load()
    assert state is not None
    for name, part in zip(names, second, strict=True):
        part.load_state_dict(state[name])
    for parts in (first, second):
        for _ in range(4):
            step(parts)
    assert all(map(torch.equal, first[0].parameters(), second[0].parameters()))


def test_a_checkpoint_of_another_key_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    Checkpoints("train", "old").save(STATE)
    Checkpoints("other", "old").save(STATE)
    with caplog.at_level(logging.INFO):
        assert Checkpoints("train", "new").load() is None
    assert "of other params, code or data: removed" in caplog.text
    assert Checkpoints("train", "old").load() is None
    assert same(Checkpoints("other", "old").load())


def test_what_a_process_killed_while_it_saved_left_behind_is_cleared() -> None:
    checkpoints = Checkpoints("train", "key")
    checkpoints.save(STATE)
    partial = kept().with_suffix(".partial")
    partial.write_bytes(b"PK")
    assert same(checkpoints.load())
    assert not partial.exists()


def test_another_number_of_threads_is_another_key() -> None:
    Checkpoints("train", "key").save(STATE)
    with torch_threads(torch.get_num_threads() + 1):
        assert Checkpoints("train", "key").load() is None


def test_a_damaged_checkpoint_is_told_and_starts_anew(caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints("train", "key")
    checkpoints.save(STATE)
    whole = kept().read_bytes()
    path = kept()
    rng = random.Random(1)
    told = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged[: rng.choice([None, None, rng.randrange(len(damaged))])])
        state = checkpoints.load()
        # A bit that nobody reads, such as of a time stamp, does no damage.
        assert state is None or same(state)
        assert path.exists() == (state is not None)
        told += state is None
    assert told > 150
    assert caplog.text.count("is damaged") == told


def test_no_code_comes_out_of_a_checkpoint() -> None:
    checkpoints = Checkpoints("train", "key")
    checkpoints.save(STATE)
    torch.save({"trap": print}, kept())
    assert checkpoints.load() is None


def test_without_a_key_nothing_is_kept() -> None:
    checkpoints = Checkpoints("train", None)
    assert not checkpoints.due(milestone=True)
    checkpoints.save(STATE)
    assert checkpoints.load() is None
    checkpoints.clear()
    assert not FOLDER.exists()


def test_a_full_disk_keeps_the_checkpoint_before_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints("train", "key")
    checkpoints.save(STATE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    checkpoints.save({"done": 2})
    assert "no checkpoint kept: [Errno 28] No space left on device" in caplog.text
    assert same(checkpoints.load())
    assert kept().suffix == ".pt"


def test_saving_takes_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    checkpoints = Checkpoints("train", "key")
    assert checkpoints.due(milestone=True) and not checkpoints.due(milestone=False)
    now[0] = module.EVERY_S
    assert checkpoints.due(milestone=False)

    def slow(*_: object) -> None:
        now[0] += 10

    monkeypatch.setattr(module.os, "fsync", slow)
    checkpoints.save(STATE)  # two syncs: the file and its folder
    saved = now[0]
    now[0] = saved + 979
    assert not checkpoints.due(milestone=True)
    now[0] = saved + 981
    assert checkpoints.due(milestone=True)
