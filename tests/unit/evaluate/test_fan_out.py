import threading
import time

import numpy as np
import pytest
import torch

from tasks.backbones.build import EncoderSpec, build
from tasks.episodes.sampler import Episodes
from tasks.evaluate.arms import Arm
from tasks.evaluate.fan_out import FanOut
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec
from tests.threads import torch_threads


@pytest.fixture(autouse=True)
def four_threads():
    with torch_threads(4):
        yield


def episodes(count: int) -> Episodes:
    numbers = np.arange(count)
    return Episodes(numbers[:, None], numbers[:, None, None], numbers[:, None, None])


def arm(name: str) -> Arm:
    encoder = build(EncoderSpec("conv4", 1, (4, 4, 4, 4))).eval()
    shapes = {key: tuple(value.shape) for key, value in encoder.named_parameters()}
    spec = LearnerSpec(name, 4, network_shapes=shapes)
    return Arm(encoder, build_learner(spec).eval(), spec)


def test_runs_go_side_by_side_a_thread_each_and_come_back_in_order() -> None:
    # It passes only when as many runs as there are threads are under way at once.
    together = threading.Barrier(4, timeout=60)

    def work(part: Episodes) -> tuple[list[int], int]:
        together.wait()
        time.sleep(0.01 * (8 - part.classes[0, 0]) / 8)
        return part.classes[:, 0].tolist(), torch.get_num_threads()

    found = FanOut().over(episodes(8), 1, work)
    assert found == [([number], 1) for number in range(8)]
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("name", "most"), [("anil", 4), ("maml", 1)])
def test_a_network_that_is_moved_is_in_one_hand_at_a_time(name: str, most: int) -> None:
    seen, lock = set(), threading.Lock()

    def work(_: Arm, part: Episodes) -> None:
        with lock:
            seen.add(threading.get_ident())
        time.sleep(0.02)

    FanOut().over(episodes(12), 1, work, arm(name))
    assert 1 <= len(seen) <= most


def test_a_fault_in_a_run_is_told_and_ends_the_rest() -> None:
    done = []

    def work(part: Episodes) -> None:
        done.append(int(part.classes[0, 0]))
        if part.classes[0, 0] == 1:
            raise ValueError("second")

    with pytest.raises(ValueError, match="second"):
        FanOut().over(episodes(1000), 1, work)
    assert len(done) < 1000 and torch.get_num_threads() == 4
