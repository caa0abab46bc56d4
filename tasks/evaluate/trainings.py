"""How the models were trained, as the report tells it."""

import csv
from pathlib import Path

from tasks.artifacts.layout import META_ALONE
from tasks.artifacts.model_store import DESCRIPTION, read_description
from tasks.errors import DataError
from tasks.evaluate.curve_charts import learning_curve, rates_chart
from tasks.evaluate.report import Picture, Training

_RATES = "rates.csv"


def trainings(pretrained: Path, metatrained: Path) -> list[Training]:
    """Pretraining and each meta-training there is.

    Args:
        pretrained: what stage pretrain wrote.
        metatrained: what stage metatrain wrote.

    Raises:
        DataError: a model or its history is missing or damaged.
    """
    told = [_pretraining(pretrained), _meta(metatrained, "Transfer + meta: episodes")]
    if (metatrained / META_ALONE / DESCRIPTION).is_file():
        told.append(_meta(metatrained / META_ALONE, "Meta alone: episodes from random weights"))
    return told


def _pretraining(folder: Path) -> Training:
    about = read_description(folder, "pretrain")
    epoch = about["best_epoch"]
    sentence = (
        f"Backbone {about['encoder']['name']} with a {about['classifier']['name']} classifier over "
        f"{about['classifier']['classes']} base classes; epoch {epoch} was kept."
    )
    curves = [_curve(folder, "epoch", epoch)]
    if (folder / _RATES).is_file():
        curves.append(
            Picture(
                rates_chart(_rows(folder / _RATES)),
                "What each rate was worth that pretraining tried, by the epoch it was tried from.",
                "Score against learning rate, a line a segment of the training",
            )
        )
    return Training("Transfer: pretraining", sentence, curves)


def _meta(folder: Path, title: str) -> Training:
    about = read_description(folder, "metatrain")
    step = about["best_step"]
    kept = (
        "no step was better than the backbone as it came, so that was kept"
        if step == 0
        else f"step {step} was kept (0 is the backbone as it came)"
    )
    sentence = f"Learner {about['learner']['name']}; {kept}."
    return Training(title, sentence, [_curve(folder, "step", step)])


def _curve(folder: Path, unit: str, kept: int) -> Picture:
    return Picture(
        learning_curve(_rows(folder / "history.csv"), unit, kept),
        "Training loss, and accuracy of episodes on the validation classes.",
        f"Loss and validation accuracy by {unit}",
    )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run its stage again") from None
