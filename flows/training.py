"""The flow `training`: every stage of dvc.yaml in order, as one recorded run."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from flows.credentials import check_no_credentials
from flows.fetching import bring_results
from flows.notifying import notify_of_end
from flows.overridden_training import TrainingSummary, train_overridden
from flows.params_form import Overrides, Recipe, setting_words
from flows.project import end_with_keeper, enter_project, prepare_environment
from flows.repro import StageResult
from flows.runs import Ending, check_as_prepared, forget_ending, write_ending
from flows.stages import run_stage, stages_in_order
from flows.tables import comparison_rows, read_metrics_if_any, stage_rows
from flows.terminal import end_bars, show_own_lines
from tasks.artifacts.files import sha256
from tasks.artifacts.layout import BUNDLE, LISTING
from tasks.errors import HeadstartError
from tasks.inputs import declared_stages
from tasks.params import PARAMS_FILE
from tasks.params_file import load_params
from tasks.run_lock import hold_run

MODEL_CARD = BUNDLE / "MODEL_CARD.md"


@flow(name="training", persist_result=False, on_failure=[notify_of_end])
def training(
    recipe: Recipe = None, overrides: Overrides | None = None, wait_s: float = 3600
) -> TrainingSummary:
    """Train, evaluate and export as params.yaml says; what is up to date stays.

    With recipe or overrides it works in a clone of what is committed, under runs/, as
    `headstart run --recipe` and `--set` do; params.yaml stays as it is.

    Args:
        recipe: named overrides, as `headstart recipes` lists them.
        overrides: of single params; they count over the recipe. What is left out stays as it is.
        wait_s: how long to wait for another run in the same project; 0 fails at once.

    Raises:
        ParametersError: params.yaml or an override is not valid, or DVC's committed settings hold
            credentials; nothing was started.
        BusyError: another run went on for longer than `wait_s`, or has set this clone up anew.
        StageFailedError: a stage failed; its previous outputs are back in place.
    """
    end_with_keeper()
    prepare_environment()
    show_own_lines()
    started = time.monotonic()
    logger = get_run_logger()
    try:
        root = enter_project()
        check_no_credentials(root)
        words = setting_words(overrides) if overrides else []
        if recipe is not None or words:
            return train_overridden(root, recipe, words, wait_s, logger.info)
        params = load_params()
        order = stages_in_order(declared_stages())
        with hold_run(f"flow run {flow_run.name or 'training'}", wait_s, logger.info):
            check_as_prepared()
            if not params.prepare.watch:
                LISTING.unlink(missing_ok=True)  # of a watch that is over, or prepare is stale
            before = read_metrics_if_any()
            results, objects, size_bytes = _run_stages(order, logger.info)
            metrics = read_metrics_if_any()
            _record(results, metrics, before)
    except HeadstartError as error:
        logger.error("%s", error)
        raise
    finally:
        end_bars()
    return TrainingSummary(
        results,
        metrics,
        before,
        time.monotonic() - started,
        fetched_objects=objects + sum(one.fetched_objects for one in results),
        fetched_bytes=size_bytes + sum(one.fetched_bytes for one in results),
    )


def _run_stages(
    order: Sequence[str], tell: Callable[[str], None]
) -> tuple[tuple[StageResult, ...], int, int]:
    """Run the stages, and leave word of how that ended with the project.

    Returns:
        How each ended; objects and bytes that were fetched after the last.
    """
    results: dict[str, StageResult] = {}
    found = sha256(PARAMS_FILE)
    forget_ending()
    try:
        for stage in order:
            # A stage that was up to date without its outputs may be made anew for a later one.
            results |= {one.stage: one for one in run_stage(stage)}
        made, objects, size_bytes = bring_results(tell)
        results |= {one.stage: one for one in made}
    except HeadstartError as error:
        write_ending(Ending(os.getpid(), found, tuple(results.values()), str(error)))
        raise
    write_ending(Ending(os.getpid(), found, tuple(results.values()), None))
    return tuple(results.values()), objects, size_bytes


def _record(
    results: tuple[StageResult, ...],
    metrics: Mapping[str, Any] | None,
    before: Mapping[str, Any] | None,
) -> None:
    """Leave tables and the model card with Prefect."""
    create_table_artifact(
        key="training-stages",
        table=stage_rows(results),
        description="Each stage: ran, restored from DVC's cache, or up to date",
    )
    if metrics:
        create_table_artifact(
            key="training-metrics",
            table=list(comparison_rows(metrics, before)),
            description=f"Accuracy over {metrics['episodes']} episodes beside the last run's",
        )
    if MODEL_CARD.is_file():
        create_markdown_artifact(key="model-card", markdown=MODEL_CARD.read_text(encoding="utf-8"))
