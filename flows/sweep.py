"""The flow `sweep`: a trial a Prefect task, on threads of this process or on a Dask cluster."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NONE
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.cloned_run import tell_left_out
from flows.clones import Plan
from flows.notifying import notify_of_end
from flows.project import end_with_keeper, enter_project, prepare_environment
from flows.proposals import Point, grid_points, propose
from flows.sweep_file import Search, Sweep
from flows.sweep_page import write_results
from flows.sweep_plan import SweepPlan, plan_sweep
from flows.sweep_results import SweepSummary, Trial, outcome_line, trial_rows
from flows.terminal import show_own_lines
from flows.trial import Outcome, TrialFailedError, let_trials_run, run_trial, stop_trials
from tasks.errors import BusyError, HeadstartError
from tasks.workers import no_dask

Submit = Callable[[Point], tuple[str, PrefectFuture[Outcome]]]


class SweepFailedError(HeadstartError):
    """Some trials did not reach their end; the others did.

    Attributes:
        summary: of all of them.
    """

    exit_code = 1

    def __init__(self, text: str, summary: SweepSummary) -> None:
        super().__init__(text)
        self.summary = summary


@flow(name="sweep", persist_result=False, on_failure=[notify_of_end])
def sweep(file: str = "sweep.yaml", wait_s: float = 3600) -> SweepSummary:
    """Run the trials that a sweep file asks for, each in a clone that shares DVC's cache.

    Args:
        file: the sweep file; a relative path begins in the working directory.
        wait_s: how long a trial waits for another run in its clone, and a sweep for another of
            its name; 0 fails at once.

    Raises:
        ParametersError: the file, or what it makes of the params, is not valid; nothing started.
        BusyError: another sweep of that name goes on.
        SweepFailedError: not every trial reached its end.
    """
    end_with_keeper()
    prepare_environment()
    show_own_lines()
    logger = get_run_logger()
    try:
        asked_for = Path.cwd() / file
        plan = plan_sweep(enter_project(), asked_for)
        with _hold_sweep(plan, wait_s, logger.info):
            trials = _run_trials(plan, wait_s, logger.info)
            summary = SweepSummary(plan.name, plan.asked.direction, tuple(trials))
            write_results(plan.root, summary)
            create_table_artifact(
                key="sweep-trials",
                table=trial_rows(summary),
                description=f"Trials of {plan.name}, the best one first",
            )
            if summary.failed:
                raise SweepFailedError(
                    f"{len(summary.failed)} of {len(trials)} trials failed; the same command runs "
                    "those again",
                    summary,
                )
    except HeadstartError as error:
        logger.error("%s", error)
        raise
    return summary


@task(name="trial", cache_policy=NONE, persist_result=False)
def _trial(plan: Plan, metric: str | None, wait_s: float) -> Outcome:
    prepare_environment()  # the task may be at work in a process of Dask
    show_own_lines()
    logger = get_run_logger()
    name = plan.folder.name
    try:
        outcome = run_trial(plan, metric, wait_s, lambda line: logger.info("%s: %s", name, line))
    except TrialFailedError as error:
        logger.error("%s: failed: %s", name, error)
        raise
    logger.info("%s: %s", name, outcome_line(outcome))
    return outcome


def _run_trials(plan: SweepPlan, wait_s: float, tell: Callable[[str], None]) -> list[Trial]:
    let_trials_run()
    told = False
    with task_runner(plan.asked) as runner:

        def submit(point: Point) -> tuple[str, PrefectFuture[Outcome]]:
            nonlocal told
            planned = plan.trial(point)
            if not told:
                tell_left_out(planned, tell)
                told = True
            name = planned.folder.name
            parameters = {"plan": planned, "metric": plan.asked.metric, "wait_s": wait_s}
            return name, runner.submit(_trial.with_options(task_run_name=name), parameters)

        try:
            if plan.asked.search is not None:
                return _search(plan, plan.asked.search, submit)
            points = grid_points(plan.asked.grid or {})
            started = [submit(point) for point in points]
            return [_ended(point, *one) for point, one in zip(points, started, strict=True)]
        except BaseException:
            stop_trials()
            raise


def _search(plan: SweepPlan, search: Search, submit: Submit) -> list[Trial]:
    """Trials one after the other, `workers` of them at a time.

    Each is proposed from those that ended `workers` before it, also where others have ended by
    then: so the trials do not depend on which of two was faster, nor on the runner.
    """
    points = plan.proposed()[: search.trials]
    started: list[tuple[str, PrefectFuture[Outcome]]] = []
    ended: list[Trial] = []
    for number in range(search.trials):
        if number >= plan.asked.workers:
            at = number - plan.asked.workers
            ended.append(_ended(points[at], *started[at]))
        if number == len(points):
            reached = [trial.value for trial in ended]
            reached += [None] * (number - len(ended))
            tried = list(zip(points, reached, strict=True))
            points.append(propose(search, plan.asked.direction, number, tried))
            plan.remember(points)
        started.append(submit(points[number]))
    rest = range(len(ended), search.trials)
    return [*ended, *(_ended(points[at], *started[at]) for at in rest)]


def _ended(point: Point, name: str, future: PrefectFuture[Outcome]) -> Trial:
    """Wait for a trial; whatever it died of is told, and no reason for others to end."""
    future.wait()
    result: Any = future.result(raise_on_failure=False)
    if isinstance(result, Outcome):
        return Trial(name, point, result, None)
    return Trial(name, point, None, str(result) or type(result).__name__)


def task_runner(asked: Sweep) -> TaskRunner[Any]:
    """The task runner that a sweep file asks for.

    Raises:
        ParametersError: it is Dask's, and that is not installed.
    """
    if asked.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=asked.workers)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise no_dask("runner", "threads") from None
    logging.getLogger("distributed").setLevel(logging.WARNING)
    if asked.scheduler is not None:
        return DaskTaskRunner(address=asked.scheduler)
    cluster = {"n_workers": asked.workers, "threads_per_worker": 1, "host": "127.0.0.1"}
    return DaskTaskRunner(cluster_kwargs={**cluster, "dashboard_address": "127.0.0.1:0"})


@contextmanager
def _hold_sweep(plan: SweepPlan, wait_s: float, tell: Callable[[str], None]) -> Iterator[None]:
    plan.memory.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(plan.memory.with_name(f"{plan.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(f"waiting for another sweep {plan.name}, at most {wait_s:.0f} s")
        try:
            lock.acquire(timeout=wait_s)
        except Timeout:
            raise BusyError(f"another sweep {plan.name} goes on; wait for it") from None
    try:
        yield
    finally:
        lock.release()
