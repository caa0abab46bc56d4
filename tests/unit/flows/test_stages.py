from pathlib import Path

from flows.stages import stages_in_order
from tasks.inputs import declared_stages

ROOT = Path(__file__).parents[3]


def test_stages_run_after_those_they_read() -> None:
    toy = declared_stages(ROOT / "tests" / "integration" / "toy.dvc.yaml")
    assert list(toy) == ["third", "first", "second"]
    assert stages_in_order(toy) == ["first", "second", "third"]


def test_the_pipeline_of_the_project_is_in_its_own_order() -> None:
    stages = declared_stages(ROOT / "dvc.yaml")
    assert stages_in_order(stages) == ["prepare", "pretrain", "metatrain", "evaluate", "export"]
