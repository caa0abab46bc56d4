"""Opens a classification dataset of torchvision's by its name, all of its parts."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import product
from typing import Any

import yaml

from tasks.errors import DataError
from tasks.silence import limited_silence
from tasks.sources.names import shown, unique_names

_KEY = "prepare.torchvision.dataset"
_LABELS = ("targets", "labels", "_labels", "y")  # where a dataset keeps its labels
_ITEMS = (("_samples", 1), ("samples", 1), ("index", 0))  # or images with them, and at which place
_NAMES = ("classes", "categories", "all_categories")


@dataclass(frozen=True)
class Part:
    """One split of a dataset.

    Attributes:
        name: `train`, for example.
        data: the torchvision dataset; an item is a PIL image and its label.
    """

    name: str
    data: Any

    def labels(self) -> list[int | None]:
        """The label of each image; None where it has none.

        Raises:
            DataError: the labels are kept with the images alone, and one cannot be read.
        """
        for values in _kept_labels(self.data):
            if len(values) == len(self.data) and self._fits(values):
                return values
        try:
            return [_label(self.data[index][1]) for index in range(len(self.data))]
        except Exception as error:  # each dataset fails in its own ways
            kind = type(self.data).__name__
            raise DataError(f"{kind}, {self.name}: no labels ({_one_line(error)})") from None

    def names(self, labels: Sequence[int | None]) -> Mapping[int, str]:
        """The name of each label, unique and printable; the number itself where it has none."""
        numbers = {label: str(label) for label in set(labels) if label is not None}
        named = numbers | dict(self._named())  # of all, in order, so that all parts count alike
        return unique_names(dict(sorted(named.items())))

    def _fits(self, values: Sequence[int | None]) -> bool:
        places = {0, len(values) // 2, len(values) - 1} if values else set()
        for place in places:
            try:
                label = _label(self.data[place][1])
            except Exception:  # as above; a damaged image says nothing of its label
                continue
            if label != values[place]:
                return False
        return True

    def _named(self) -> Mapping[int, str]:
        for attribute in _NAMES:
            names = getattr(self.data, attribute, None)
            if isinstance(names, Sequence) and names:
                return {index: _joined(name) for index, name in enumerate(names)}
        numbers = getattr(self.data, "class_to_idx", {})
        return {int(index): str(name) for name, index in numbers.items()}


def open_parts(dataset: str, root: str, *, download: bool) -> list[Part]:
    """Open every part of a dataset.

    Args:
        dataset: a class of torchvision.datasets.
        root: the folder that torchvision keeps it in.
        download: whether to fetch what is not there.

    Raises:
        DataError: there is no such dataset or it is not for classification, or it is not there and
            cannot or may not be downloaded.
    """
    kind, arguments = _known(dataset)
    if "://" in root:
        raise DataError(
            "prepare.root: found an address; torchvision needs a folder of this machine"
        )
    parts = []
    for values in product(*arguments.values()):
        chosen = dict(zip(arguments, values, strict=True))
        name = "-".join(_part_name(key, value) for key, value in chosen.items()) or "all"
        parts.append(Part(name, _open(kind, root, chosen, download)))
    return parts


@lru_cache(maxsize=1)
def facts() -> Mapping[str, Any]:
    """What torchvision does not say of its datasets."""
    text = files("tasks.sources").joinpath("torchvision_named.yaml").read_text(encoding="utf-8")
    known: dict[str, Any] = yaml.safe_load(text)
    return known


def _known(dataset: str) -> tuple[Any, Mapping[str, Sequence[Any]]]:
    from torchvision import datasets

    there = [name for name in facts()["datasets"] if hasattr(datasets, name)]
    if dataset in there:
        return getattr(datasets, dataset), facts()["datasets"][dataset]
    needed = f"needed one of {', '.join(there)}"
    if dataset in facts()["other_sources"]:
        source = facts()["other_sources"][dataset]
        raise DataError(f"{_KEY}: {dataset} is read by prepare.source={source}; here {needed}")
    if dataset in datasets.__all__:
        raise DataError(f"{_KEY}: {dataset} is not for classifying images; {needed}")
    folded = {name.lower().replace("-", ""): name for name in there}
    close = difflib.get_close_matches(dataset.lower().replace("-", ""), folded, n=3)
    hint = f"; did you mean {' or '.join(folded[name] for name in close)}?" if close else ";"
    raise DataError(f"{_KEY}: torchvision has no dataset {shown(dataset)}{hint} {needed}")


def _open(kind: Any, root: str, arguments: Mapping[str, Any], download: bool) -> Any:
    fetches = _accepts(kind, "download")
    missing = f"{shown(root)}: no {kind.__name__}"
    try:
        return kind(root, **arguments, **({"download": False} if fetches else {}))
    except Exception as error:  # each dataset fails in its own ways
        reason = _one_line(error)
    if not fetches:
        raise DataError(f"{missing} ({reason}); torchvision cannot download it: put it there")
    if not download:
        raise DataError(
            f"{missing} ({reason}); put it there, or let torchvision download it: "
            "prepare.torchvision.download=true"
        )
    try:
        with limited_silence():
            return kind(root, **arguments, download=True)
    except Exception as error:  # as above
        raise DataError(
            f"{missing}, and downloading it failed ({_one_line(error)}); put it there, or "
            "run where there is a network"
        ) from None


def _accepts(kind: Any, argument: str) -> bool:
    for base in inspect.getmro(kind):
        parameters = inspect.signature(vars(base).get("__init__", object.__init__)).parameters
        if argument in parameters:
            return True
        if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            break  # what it does not name does not reach its base
    return False


def _kept_labels(data: Any) -> list[list[int | None]]:
    kept = []
    for attribute, place in [*((name, None) for name in _LABELS), *_ITEMS]:
        values: Any = getattr(data, attribute, None)
        try:
            values = values.tolist() if hasattr(values, "tolist") else list(values)
            kept.append([_label(one if place is None else one[place]) for one in values])
        except (TypeError, ValueError, IndexError):
            continue  # not there, or something else by that name
    return kept


def _label(value: Any) -> int | None:
    number = None if value is None else int(value)
    return number if number is not None and number >= 0 else None


def _joined(name: object) -> str:
    return name if isinstance(name, str) else ", ".join(map(str, name))  # type: ignore[call-overload]


def _part_name(argument: str, value: Any) -> str:
    if argument == "train":
        return "train" if value else "test"
    return argument if value is True else str(value)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).partition(" You can use download=True")[0]
    return shown(text.rstrip("."))[:300] or type(error).__name__
