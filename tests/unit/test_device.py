"""Which device a stage runs on, and what it draws there."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from tasks.device import PROCESSOR, device_of, seeded
from tasks.errors import ParametersError
from tasks.params import Params
from tests.conftest import ROOT

Project = Callable[..., Params]


@pytest.mark.timeout(900)
def test_networks_on_a_pretended_device_end_with_the_weights_of_the_processor() -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*words, "tests/on_pretend_device.py"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParametersError, match=r"pretrain\.device: found cuda, and torch .* no GPU"):
        device_of("cuda", "pretrain.device")
    assert device_of("cpu", "pretrain.device") == PROCESSOR


@pytest.mark.parametrize("stage", ["pretrain", "metatrain"])
def test_several_processes_need_the_processor(tiny_project: Project, stage: str) -> None:
    with pytest.raises(ParametersError, match="processes: found 2 with device: cuda, needed 1"):
        tiny_project(**{stage: {"processes": 2, "device": "cuda"}})


def test_a_network_draws_from_a_stream_of_its_own_and_leaves_no_trace() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with seeded(PROCESSOR, 1, "some", "stream"):
        first = torch.rand(2)
    with seeded(PROCESSOR, 1, "some", "stream"):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_gpu_draws_from_the_same_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    @contextmanager
    def fork(devices: list[torch.device]) -> Iterator[None]:
        assert [one.type for one in devices] == ["cuda"]
        state = torch.get_rng_state()
        yield
        torch.set_rng_state(state)

    monkeypatch.setattr(torch.cuda, "manual_seed", told.append)
    monkeypatch.setattr(torch.random, "fork_rng", fork)
    with seeded(torch.device("cuda", 0), 1, "some", "stream"):
        assert told == [torch.default_generator.initial_seed()]
