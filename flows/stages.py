"""One Prefect task a stage. With `flows.repro`, the only bridge to DVC."""

from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NONE
from prefect.client.schemas.objects import State as PrefectState
from prefect.client.schemas.objects import TaskRun

from flows.fetching import bring_up_to_date
from flows.repro import StageFailedError, StageResult
from tasks.inputs import StageDeclaration

RETRY_DELAYS_S = [5.0, 30.0]


def stages_in_order(stages: Mapping[str, StageDeclaration]) -> list[str]:
    """The names of all stages, each after those whose outputs it reads."""
    needs = {
        name: [
            other.name
            for other in stages.values()
            if other.name != name and any(_reads(dep, other) for dep in stage.deps)
        ]
        for name, stage in stages.items()
    }
    return list(TopologicalSorter(needs).static_order())


def _reads(dep: str, maker: StageDeclaration) -> bool:
    """Whether a dependency is an output, lies inside one, or holds one."""
    path = Path(dep)
    return any(path.is_relative_to(out) or Path(out).is_relative_to(path) for out in maker.outs)


def worth_retrying(task: Task[..., Any], run: TaskRun, state: PrefectState[Any]) -> bool:
    """Whether the same command may succeed later: a busy lock, a kill, a remote out of reach."""
    del task, run
    fault = state.result(raise_on_failure=False)
    return isinstance(fault, StageFailedError) and fault.worth_retrying


@task(
    retries=len(RETRY_DELAYS_S),
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=worth_retrying,
    cache_policy=NONE,  # DVC is the only cache
    persist_result=False,
)
def _stage(stage: str) -> list[StageResult]:
    logger = get_run_logger()
    try:
        results = bring_up_to_date(stage, logger.info)
    except StageFailedError as error:
        if error.worth_retrying:
            logger.warning("%s; another try may help", error)
        raise
    for result in results:
        logger.info("%s: %s, %.1f s", result.stage, result.state, result.seconds)
    return results


def run_stage(stage: str) -> list[StageResult]:
    """Bring one stage up to date as a task of the running flow.

    Returns:
        How it ended, after those that had to be made anew for it.

    Raises:
        StageFailedError: it failed, and the retries that are worth it are spent.
    """
    return _stage.with_options(name=stage, task_run_name=stage)(stage)
