import mmap
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.artifacts.model_store import read_description
from tasks.backbones.build import EncoderSpec, build
from tasks.episodes.sampler import Pool
from tasks.errors import DataError
from tasks.evaluate.arms import Arm
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.heads import build_head
from tasks.evaluate.lending import Lender, LentArm, LentArray, borrow
from tasks.evaluate.measuring import answers
from tasks.evaluate.workers import DASK_VARIABLE, open_workers
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec

NETWORK = EncoderSpec("conv4", 1, (4, 4, 4, 12))


def arm(name: str) -> Arm:
    torch.manual_seed(0)
    encoder = build(NETWORK).eval()
    shapes = {key: tuple(value.shape) for key, value in encoder.named_parameters()}
    spec = LearnerSpec(name, 12, network_shapes=shapes)
    return Arm(encoder, build_learner(spec).eval(), spec, NETWORK)


@pytest.mark.parametrize("name", ["ridge", "anil", "maml", "meta_sgd", "centred_cosine"])
def test_an_arm_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    lent = arm(name)
    back = borrow(Lender(tmp_path / "lent").lend(lent))
    assert isinstance(back, Arm) and back.spec == lent.spec
    for ours, theirs in ((lent.encoder, back.encoder), (lent.learner, back.learner)):
        assert not theirs.training
        state = theirs.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in ours.state_dict().items())


def test_a_head_that_fine_tunes_the_network_is_built_without_its_shapes_in_the_spec(
    tmp_path: Path,
) -> None:
    plain = arm("cosine")
    spec = LearnerSpec("network_fine_tuning", 12)
    head = build_head(spec, plain.encoder, lambda _: torch.zeros(12))
    back = borrow(Lender(tmp_path / "lent").lend(Arm(plain.encoder, head, spec, NETWORK)))
    assert isinstance(back, Arm)
    state = head.state_dict()
    assert all(torch.equal(one, state[key]) for key, one in back.learner.state_dict().items())


def test_each_thing_is_written_once_and_two_arms_share_a_network(tmp_path: Path) -> None:
    lender, first = Lender(tmp_path), arm("ridge")
    second = Arm(first.encoder, build_learner(LearnerSpec("cosine", 12)), first.spec, NETWORK)
    lent = [lender.lend(one) for one in (first, second, first)]
    assert all(isinstance(one, LentArm) for one in lent)
    assert lent[0] == lent[2] and lent[0].encoder == lent[1].encoder  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) == 3
    assert read_description(tmp_path / "0", "evaluate")["encoder"]["name"] == "conv4"


def test_images_are_read_where_they_lie_and_parts_of_them_are_not_mistaken_for_all(
    tmp_path: Path,
) -> None:
    path = tmp_path / "novel.images.npy"
    np.save(path, np.arange(40_000, dtype=np.uint8).reshape(100, 20, 20, 1))
    images = np.load(path, mmap_mode="r")
    lender = Lender(tmp_path / "lent")
    assert lender.lend(images) == LentArray(path.resolve(), tensor=False)
    assert not (tmp_path / "lent").exists()
    some = images[20:60]
    back = borrow(lender.lend(some))
    assert isinstance(back, np.ndarray) and np.array_equal(back, some)
    assert isinstance(back.base, mmap.mmap)


def test_small_things_travel_and_large_ones_lie_in_files(tmp_path: Path) -> None:
    lender = Lender(tmp_path)
    rates, embeddings = torch.ones(10, 100), torch.rand(100, 12, dtype=torch.float64)
    assert lender.lend(rates) is rates and lender.lend("meta") == "meta"
    back = borrow(lender.lend(embeddings))
    assert isinstance(back, torch.Tensor) and torch.equal(back, embeddings)


def test_what_is_not_there_is_told_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at the same path"):
        borrow(LentArray(tmp_path / "gone.npy", tensor=True))


def test_a_cluster_that_was_there_before_answers_the_same_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    labels = np.repeat(np.arange(6), 10)
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 1), np.uint8)
    drawn = Pool(labels).draw(0, 9, way=3, shot=2, queries=3, seed=1, purpose="test")
    mine, embeddings = arm("maml"), torch.rand(60, 12)
    alone = answers(mine, embeddings, images, drawn)
    with distributed.LocalCluster(
        n_workers=2, processes=False, protocol="tcp://", dashboard_address=None
    ) as cluster:
        monkeypatch.setenv(DASK_VARIABLE, cluster.scheduler_address)
        with open_workers(1, "dask") as runner:
            spread = answers(mine, embeddings, images, drawn, FanOut(runner))
        assert len(cluster.workers) == 2
    assert np.array_equal(alone.predicted, spread.predicted)
    assert np.array_equal(alone.confidence, spread.confidence)
