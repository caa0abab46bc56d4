"""What stage evaluate does: models and novel classes -> figures, plots and a report."""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks import optimisation
from tasks.artifacts.files import complete_folder, write_csv, write_json
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import EVALUATED, METATRAINED, METRICS, PREPARED, PRETRAINED, REPORT
from tasks.artifacts.model_store import read_description
from tasks.errors import DataError
from tasks.evaluate.arms import TITLES, arms
from tasks.evaluate.charts import accuracy_bars, gain_intervals, learning_curve
from tasks.evaluate.episode_sheet import episode_sheet, hardest_of_first
from tasks.evaluate.measuring import Measured, measure
from tasks.evaluate.report import Picture, Training, render_report
from tasks.params import Params
from tasks.progress import Track

logger = logging.getLogger(__name__)


def evaluate(params: Params, track: Track) -> None:
    """Measure all arms on all protocols, and write what people and machines read.

    Raises:
        DataError: the image store or a model is missing or damaged.
        ParametersError: the episodes asked for cannot be drawn from the classes there are.
    """
    section = params.evaluate
    optimisation.deterministic()
    store = ImageStore(PREPARED)
    params.check_episodes(store.class_sizes())
    parts = {kind.domain: store.read(kind.domain) for kind in section.protocols}
    results = measure(
        section.protocols,
        arms(PRETRAINED, METATRAINED, params.seed),
        parts,
        track,
        episodes=section.episodes,
        queries=section.queries,
        seed=params.seed,
    )
    metrics = {
        "format": 1,
        "episodes": section.episodes,
        "queries": section.queries,
        "results": {result.key: result.summary() for result in results},
    }
    for result in results:
        logger.info("%s", _line(result))
    report = render_report(
        metrics=metrics,
        data=store.manifest,
        pictures=_pictures(results),
        trainings=_trainings(),
        sheets=[
            episode_sheet(result, parts[result.domain], hardest_of_first(result, "meta"))
            for result in _to_look_at(results)
        ],
    )
    with complete_folder(EVALUATED) as folder:
        write_json(folder / METRICS.name, metrics)
        write_csv(folder / "accuracy.csv", _rows(metrics), ["measured", "accuracy", "interval95"])
        (folder / REPORT.name).write_text(report, encoding="utf-8")


def _line(result: Measured) -> str:
    summary = result.summary()
    figures = ", ".join(
        f"{TITLES[arm]} {100 * mean:.2f} ± {100 * summary['interval95'][arm]:.2f} %"
        for arm, mean in summary["accuracy"].items()
    )
    return f"{result.title}: {figures}"


def _rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """`accuracy.csv`, what `dvc plots` draws: a row for each protocol and arm."""
    return [
        {
            "measured": f"{key} {arm}",
            "accuracy": result["accuracy"][arm],
            "interval95": result["interval95"][arm],
        }
        for key, result in metrics["results"].items()
        for arm in result["accuracy"]
    ]


def _to_look_at(results: Sequence[Measured]) -> list[Measured]:
    """The first and easiest-to-read protocol of each domain."""
    first: dict[str, Measured] = {}
    for result in sorted(results, key=lambda one: (one.way, one.shot)):
        first.setdefault(result.domain, result)
    return list(first.values())


def _pictures(results: Sequence[Measured]) -> list[Picture]:
    return [
        Picture(
            accuracy_bars(results),
            "Accuracy on novel classes, with 95 % intervals.",
            "Bars of the accuracies in the table above",
        ),
        Picture(
            gain_intervals(results),
            "What meta-training adds, paired by episode, with 95 % intervals. An interval that "
            "crosses zero says that it adds nothing that could be measured.",
            "Points of the last column of the table above",
        ),
    ]


def _trainings() -> list[Training]:
    pretrained = read_description(PRETRAINED, "pretrain")
    metatrained = read_description(METATRAINED, "metatrain")
    told = (
        (
            "Transfer: pretraining",
            PRETRAINED,
            "epoch",
            pretrained["best_epoch"],
            f"Backbone {pretrained['encoder']['name']} with a "
            f"{pretrained['classifier']['name']} classifier over "
            f"{pretrained['classifier']['classes']} base classes; epoch "
            f"{pretrained['best_epoch']} was kept.",
        ),
        (
            "Meta: episodes",
            METATRAINED,
            "step",
            metatrained["best_step"],
            f"Learner {metatrained['learner']['name']}; {_kept(metatrained['best_step'])}.",
        ),
    )
    return [
        Training(title, sentence, _curve(folder, unit, kept))
        for title, folder, unit, kept, sentence in told
    ]


def _kept(step: int) -> str:
    if step == 0:
        return "no step was better than the pretrained backbone as it came, so that was kept"
    return f"step {step} was kept (0 is the pretrained backbone as it came)"


def _curve(folder: Path, unit: str, kept: int) -> Picture:
    path = folder / "history.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            history = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run its stage again") from None
    return Picture(
        learning_curve(history, unit, kept),
        "Training loss, and accuracy of episodes on the validation classes.",
        f"Loss and validation accuracy by {unit}",
    )
