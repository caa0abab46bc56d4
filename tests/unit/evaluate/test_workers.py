from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.artifacts.files import sha256
from tasks.artifacts.layout import EVALUATED, STATE
from tasks.evaluate.stage import evaluate
from tasks.evaluate.workers import LENT
from tasks.metatrain.stage import metatrain
from tasks.params import Params
from tasks.pretrain.stage import pretrain
from tasks.progress import untracked

Project = Callable[..., Params]

# A network of its own for each episode, heads for the curves, and both in what is tuned.
CHANGES = {
    "metatrain": {"learner": "maml", "inner_steps": 2, "meta_batch": 1, "alone": False},
    "evaluate": {
        "protocols": [
            {"domain": "novel", "way": 3, "shot": 1},
            {"domain": "novel", "way": 3, "shot": 4, "imbalanced": True},
        ],
        "curve": [{"domain": "novel", "way": 3, "shot": 1, "episodes": 30}],
        "shots": [{"domain": "novel", "way": 3, "shots": [1], "queries": 3, "episodes": 30}],
        "fine_tuning": {"network": True, "network_steps": [1], "episodes": 10},
    },
}


def with_workers(params: Params, workers: int, runner: str) -> Params:
    section = params.evaluate.model_copy(update={"workers": workers, "runner": runner})
    return params.model_copy(update={"evaluate": section})


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_number_of_workers_and_the_runner_change_no_byte(tiny_project: Project) -> None:
    params = tiny_project(**CHANGES)
    pretrain(params, untracked)
    metatrain(params, untracked)
    evaluate(params, untracked)
    alone = bytes_of(EVALUATED)
    assert {"metrics.json", "adaptation_curve.csv", "shots_curve.csv", "report.html"} <= set(alone)
    for workers, runner in ((2, "dask"), (2, "processes"), (3, "processes")):
        evaluate(with_workers(params, workers, runner), untracked)
        assert bytes_of(EVALUATED) == alone, (workers, runner)
        assert not LENT.exists()
    assert [path.name for path in STATE.iterdir()] == ["evaluate"]
