"""Which files of the pipeline are here: as dvc.yaml declares them, with no look at any content."""

from collections.abc import Mapping
from pathlib import Path

from tasks.artifacts.layout import METRICS
from tasks.inputs import StageDeclaration


def lacks_files(stages: Mapping[str, StageDeclaration], stage: str) -> bool:
    """Whether an output of a stage, or one that it reads, is not in place."""
    declared = stages.get(stage)
    if declared is None:
        return False
    paths = (*declared.outs, *(dep for dep in declared.deps if holder_of(stages, dep)))
    return not all(Path(path).exists() for path in paths)


def holder_of(stages: Mapping[str, StageDeclaration], path: str) -> list[str]:
    """The outputs that are, hold or lie in a path."""
    return [
        out
        for stage in stages.values()
        for out in stage.outs
        if Path(path).is_relative_to(out) or Path(out).is_relative_to(path)
    ]


def result_outs(stages: Mapping[str, StageDeclaration]) -> list[str]:
    """The outputs that hold the metrics, and those that no stage reads."""
    read = {
        out for stage in stages.values() for dep in stage.deps for out in holder_of(stages, dep)
    }
    return [
        out
        for stage in stages.values()
        for out in stage.outs
        if out not in read or METRICS.is_relative_to(out)
    ]
