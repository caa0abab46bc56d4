"""What a reader has to know before the figures: what was seen in training, and by whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import ParametersError
from tasks.evaluate.arms import Arm
from tasks.evaluate.heads import LEARNER
from tasks.statistics import USUAL_EPISODES

NORMALISATIONS = {
    "running": "running statistics, which no image of an episode changes",
    "transductive": "the statistics of the episode's own queries together",
}


@dataclass(frozen=True)
class Notice:
    """One sentence or two.

    Attributes:
        loud: whether it limits what the figures mean.
        text: the sentences.
    """

    loud: bool
    text: str


def normalisation(arms: Mapping[str, Arm], adaptation: str, allowed: bool) -> dict[str, str]:
    """How images were normalised in training, validation and test.

    Args:
        arms: as they were trained.
        adaptation: at test.
        allowed: whether queries may be normalised by one another.

    Raises:
        ParametersError: they would be, and may not.
    """
    used = {getattr(arm.spec, "normalisation", "running") for arm in arms.values()}
    trained = "transductive" if "transductive" in used else "running"
    test = trained if adaptation == LEARNER else "running"
    if test == "transductive" and not allowed:
        raise ParametersError(
            "params.yaml: evaluate.transductive: found false, but the model was meta-trained with "
            "metatrain.normalisation: transductive, where every query tells about the others; set "
            "it to true to measure all the same, or train with normalisation: running"
        )
    return {"training": trained, "validation": trained, "test": test}


def notices(metrics: Mapping[str, Any]) -> list[Notice]:
    """The notices that the metrics call for.

    Args:
        metrics: what `metrics.json` holds.
    """
    return [
        *_transductive(metrics["normalisation"]),
        *_shared(metrics["leakage"]),
        *_weights(metrics["leakage"]),
        *_few(metrics),
        *_shrunk(metrics),
    ]


def _transductive(told: Mapping[str, str]) -> list[Notice]:
    if "transductive" not in told.values():
        words = NORMALISATIONS["running"]
        return [Notice(False, f"In training, validation and test BatchNorm normalises by {words}.")]
    words = "; ".join(f"in {when} by {NORMALISATIONS[how]}" for when, how in told.items())
    return [
        Notice(
            True,
            "TRANSDUCTIVE: the queries of an episode are normalised together, so that each tells "
            "about the others. The figures hold only where queries come in such balanced batches, "
            f"and cannot be compared with inductive ones. BatchNorm normalises {words}.",
        )
    ]


def _shared(leakage: Mapping[str, Any]) -> list[Notice]:
    found = [
        Notice(
            one["images"] > 0,
            f"{one['first']} and {one['second']} share "
            f"{_counted(one['images'], 'image', one['image_classes'])} and "
            f"{_counted(one['names'], 'class name', one['class_names'])}.",
        )
        for one in leakage["shared"]
    ]
    checked = ", ".join(leakage["checked"])
    return found or [
        Notice(
            False,
            "No image, pixel by pixel as stored, and no class name, whatever its case, stands in "
            f"two of the parts but for those measured on alone: {checked}.",
        )
    ]


def _counted(count: int, noun: str, examples: list[str]) -> str:
    if not count:
        return f"no {noun}"
    plural = f"{noun}{'s' if count > 1 else ''}"
    of = "of classes such as " if noun == "image" else "such as "
    return f"{count:,} {plural} ({of}{', '.join(examples)})"


def _weights(leakage: Mapping[str, Any]) -> list[Notice]:
    if not leakage["weights"]:
        return []
    same = {part: names for part, names in leakage["imagenet_class_names"].items() if names}
    words = "; ".join(
        f"in {part}: {', '.join(names[:20])}{' and others' if len(names) > 20 else ''}"
        for part, names in same.items()
    )
    return [
        Notice(
            True,
            f"The backbone started from weights of others ({leakage['weights']}), which may have "
            "seen classes measured here. Of ImageNet's 1,000, by their names: "
            f"{words or 'none of them'}.",
        )
    ]


def _few(metrics: Mapping[str, Any]) -> list[Notice]:
    if metrics["episodes"] >= USUAL_EPISODES:
        return []
    return [
        Notice(
            True,
            f"{metrics['episodes']} episodes a protocol; {USUAL_EPISODES} and more are usual "
            "(evaluate.episodes).",
        )
    ]


def _shrunk(metrics: Mapping[str, Any]) -> list[Notice]:
    left = [
        f"{one['domain']}: {', '.join(str(shot) for shot in one['left_out'])}"
        for one in metrics["shots_curves"].values()
        if one["left_out"]
    ]
    if not left:
        return []
    return [
        Notice(
            False, f"Shots that the classes have too few images for, by domain: {'; '.join(left)}."
        )
    ]
