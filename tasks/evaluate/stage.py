"""What stage evaluate does: models and novel classes -> figures, plots and a report."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tasks import optimisation
from tasks.artifacts.files import complete_folder, write_csv, write_json
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import (
    EVALUATED,
    METATRAINED,
    METRICS,
    PREPARED,
    PRETRAINED,
    REPORT,
    TIMED,
)
from tasks.artifacts.model_store import read_description
from tasks.device import device_of
from tasks.evaluate import tables
from tasks.evaluate.adaptation_curve import AdaptationCurve, adaptation_curve
from tasks.evaluate.arms import TITLES, Arm, Embedded, arms
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.heads import centre_of, with_adaptation
from tasks.evaluate.leakage import leakage, weights_of
from tasks.evaluate.measured import Measured
from tasks.evaluate.measuring import measure
from tasks.evaluate.notices import normalisation, notices
from tasks.evaluate.pictures import (
    episodes_to_look_at,
    pairs_to_look_at,
    pictures,
    with_seconds,
)
from tasks.evaluate.report import headline, render_report
from tasks.evaluate.seconds import time_curves
from tasks.evaluate.shots_curve import Shots, shots_curve
from tasks.evaluate.trainings import trainings
from tasks.evaluate.tuning import Tuner, candidates
from tasks.evaluate.workers import open_workers
from tasks.learners.spec import LearnerSpec
from tasks.params import Params
from tasks.params.evaluate import Evaluate
from tasks.progress import Track

logger = logging.getLogger(__name__)


def evaluate(params: Params, track: Track) -> None:
    """Measure all arms on all protocols and curves, and write what people and machines read.

    Raises:
        DataError: the image store or a model is missing or damaged.
        ParametersError: the episodes asked for cannot be drawn from the classes there are, the
            model normalises in a way that is not allowed, or the workers cannot be had.
        LostProcessError: a worker was killed, or none answers.
    """
    section, seed = params.evaluate, params.seed
    device = device_of(section.device, "evaluate.device")
    optimisation.deterministic(device)
    store = ImageStore(PREPARED)
    params.check_episodes(store.class_sizes())
    trained = arms(PRETRAINED, METATRAINED, seed)
    normalised = normalisation(trained, section.adaptation, section.transductive)
    parts = {name: store.read(name) for name in _parts(section)}
    embedded = Embedded(trained, parts, device)
    centre = centre_of(parts["base"], seed)
    meta = trained["meta"].spec
    head = LearnerSpec(section.adaptation, meta.dim, meta.initial_temperature)
    compared = with_adaptation(trained, section.adaptation, centre, _fine_tuned(head, section))
    tried = candidates(
        trained["transfer"].encoder.width, meta.initial_temperature, section.fine_tuning
    )
    with open_workers(section.workers, section.runner) as runner:
        fan_out = FanOut(runner, track)
        tuner = Tuner(
            trained["transfer"],
            parts["validation"],
            embedded.of("transfer", "validation"),
            tried,
            centre,
            section.fine_tuning.episodes,
            seed,
            fan_out,
        )
        results = measure(
            section.protocols,
            compared,
            embedded,
            tuner,
            fan_out,
            episodes=section.episodes,
            queries=section.queries,
            seed=seed,
        )
        curves = _curves(section, trained, embedded, fan_out, seed)
        shots = _shots(section, compared, embedded, fan_out, seed)
    metrics = {
        "format": 1,
        "episodes": section.episodes,
        "queries": section.queries,
        "adaptation": section.adaptation,
        "normalisation": normalised,
        "leakage": leakage(parts, weights_of(read_description(PRETRAINED, "pretrain"))),
        "results": {result.key: result.summary() for result in results},
        "adaptation_curves": {curve.key: curve.summary() for curve in curves},
        "shots_curves": {one.key: one.summary() for one in shots},
    }
    _log(results, metrics)

    drawn = pictures(results, curves, shots)
    report = partial(
        render_report,
        metrics=metrics,
        data=store.manifest,
        notices=notices(metrics),
        trainings=trainings(PRETRAINED, METATRAINED),
        pairs=pairs_to_look_at(results, parts),
        sheets=episodes_to_look_at(results, parts),
    )

    with complete_folder(EVALUATED) as folder:
        write_json(folder / METRICS.name, metrics)
        for name, rows, columns in (
            ("accuracy", tables.accuracy_rows(metrics), tables.ACCURACY),
            ("curves", tables.curve_rows(metrics), tables.CURVES),
            ("adaptation_curve", tables.adaptation_rows(metrics), tables.ADAPTATION),
            ("shots_curve", tables.shots_rows(metrics), tables.SHOTS),
            ("reliability", tables.reliability_rows(results), tables.RELIABILITY),
        ):
            write_csv(folder / f"{name}.csv", rows, columns)
        (folder / REPORT.name).write_text(report(pictures=drawn), encoding="utf-8")
    # Never the same twice, so no output of the stage: DVC would take each for a change.
    seconds = time_curves(curves, trained, parts, seed)
    with complete_folder(TIMED) as folder:
        write_csv(folder / "adaptation_seconds.csv", tables.seconds_rows(seconds), tables.SECONDS)
        timed = report(pictures=with_seconds(drawn, curves, seconds))
        (folder / REPORT.name).write_text(timed, encoding="utf-8")
    logger.info("with the seconds that adaptation takes here: %s", TIMED / REPORT.name)


def _parts(section: Evaluate) -> list[str]:
    asked = [*(one.domain for one in section.curve), *(one.domain for one in section.shots)]
    domains = [one.domain for one in section.protocols]
    domains += [domain for one in asked for domain in section.domains(one)]
    return list(dict.fromkeys(["base", "validation", *domains]))


def _fine_tuned(head: LearnerSpec, section: Evaluate) -> LearnerSpec:
    """The head with the last of what fine-tuning may try, for arms that all adapt by it."""
    asked = section.fine_tuning
    network = head.name == "network_fine_tuning"
    return LearnerSpec(
        head.name,
        head.dim,
        head.initial_temperature,
        inner_steps=(asked.network_steps if network else asked.steps)[-1],
        inner_learning_rate=1.0,
        network_learning_rate=asked.network_learning_rates[-1],
    )


def _curves(
    section: Evaluate, trained: Mapping[str, Arm], embedded: Embedded, fan_out: FanOut, seed: int
) -> list[AdaptationCurve]:
    asked = [(one, domain) for one in section.curve for domain in section.domains(one.domain)]
    found = [
        adaptation_curve(one, domain, trained, embedded, seed, fan_out)
        for one, domain in fan_out.track(asked, "adaptation curves", len(asked))
    ]
    # Shrunk to the same size, two are one.
    return list({one.key: one for one in found if one}.values())


def _shots(
    section: Evaluate, compared: Mapping[str, Arm], embedded: Embedded, fan_out: FanOut, seed: int
) -> list[Shots]:
    asked = [(one, domain) for one in section.shots for domain in section.domains(one.domain)]
    found = [
        shots_curve(one, domain, compared, embedded, fan_out, seed)
        for one, domain in fan_out.track(asked, "shots curves", len(asked))
    ]
    return list({one.key: one for one in found if one}.values())


def _log(results: Sequence[Measured], metrics: Mapping[str, Any]) -> None:
    for result in results:
        figures = ", ".join(
            f"{TITLES[arm]} {100 * one.mean:.2f} ± {100 * one.interval95:.2f} %"
            for arm, one in result.estimates().items()
        )
        logger.info("%s: %s", result.title, figures)
    if told := headline(metrics):
        logger.info("%s", told)
    for notice in notices(metrics):
        if notice.loud:
            logger.warning("%s", notice.text)
