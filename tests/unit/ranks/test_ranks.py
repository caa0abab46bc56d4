"""Two processes do what one does, and are seen to one end."""

import logging
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tasks import launcher
from tasks.errors import DataError, LostProcessError, ParametersError
from tasks.launcher import FOLDER, launch
from tasks.progress import untracked
from tasks.ranks.group import ALONE, Ranks
from tests import several_ranks
from tests.conftest import TINY, write_params

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_ranks_take_the_steps_of_one_process(project: Path) -> None:
    """Every policy and learner, uneven parts, in float64: losses, weights, statistics."""
    params = write_params(project, TINY)
    alone = several_ranks.every_case(params.pretrain, params.metatrain)
    launch("case", 2, several_ranks.write_every_case, project, params.pretrain, params.metatrain)
    first, second = (load_file(project / f"{number}.safetensors") for number in (0, 1))
    assert set(first) == set(alone)
    for name, value in alone.items():
        # Pretraining takes its loss in float32.
        close = 1e-5 if name.partition(":")[0] in several_ranks.PRETRAINED else 1e-9
        torch.testing.assert_close(first[name], value, rtol=close, atol=close, msg=name)
        assert torch.equal(first[name], second[name]), name


def test_ranks_meet_and_share_out_the_threads(project: Path) -> None:
    handlers = signal.getsignal(signal.SIGTERM)
    alone = several_ranks.normalised()
    launch("meeting", 2, several_ranks.meet, project)
    for number in (0, 1):
        found = load_file(project / f"{number}.safetensors")
        assert found["sum"].item() == 3
        assert found["joined"].tolist() == [0, 1, 2, 3, 4]
        assert found["told"].item() is True
        assert found["threads"].item() == 1
        for name, value in alone.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9, msg=name)
    assert signal.getsignal(signal.SIGTERM) == handlers
    assert not any(FOLDER.iterdir())


def test_a_fault_that_a_person_can_mend_is_told_once(project: Path) -> None:
    with pytest.raises(DataError, match="^images are missing$"):
        launch("fault", 2, several_ranks.fail_on_one, project)
    assert len(list(project.glob("started-1-*"))) == 1


def test_a_fault_of_the_code_brings_its_traceback(project: Path) -> None:
    with pytest.raises(RuntimeError, match="in be_wrong"):
        launch("wrong", 2, several_ranks.be_wrong, project)


def test_all_ranks_start_again_when_one_was_killed(project: Path) -> None:
    launch("killed", 2, several_ranks.die, project, 1)
    assert [len(list(project.glob(f"started-{number}-*"))) for number in (0, 1)] == [2, 2]


def test_a_rank_that_is_killed_again_and_again_ends_the_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "RESTARTS", 1)
    with pytest.raises(LostProcessError, match="killed .SIGKILL. 2 times"):
        launch("killed", 2, several_ranks.die, project, 9)
    assert logging.getLogger("torch.multiprocessing.spawn").disabled is False


def test_one_process_is_no_launch(project: Path) -> None:
    launcher.on_ranks("alone", 1, untracked, several_ranks.be_here, project)
    assert (project / f"started-0-{os.getpid()}").exists()
    assert not FOLDER.exists()


def test_rows_are_dealt_once_and_evenly() -> None:
    for count in (3, 7, 12):
        spans = [Ranks(number, 3).rows(count) for number in range(3)]
        assert [place for span in spans for place in range(count)[span]] == list(range(count))
        sizes = [span.stop - span.start for span in spans]
        assert max(sizes) - min(sizes) <= 1
    with pytest.raises(ParametersError, match="processes: 2 or less"):
        Ranks(0, 3).rows(2)
    assert ALONE.rows(4) == slice(0, 4)
