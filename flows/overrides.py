"""Parameter overrides of one run: recipes, and `--set` on the command line."""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from tasks.errors import ParametersError
from tasks.params import PARAMS_FILE, Params
from tasks.params.networks import is_weights_file
from tasks.params_file import Location, check_params, parse_yaml, read_sections

RECIPES = Path(__file__).parent / "recipes"
SETTING = "--set"
ABSENT = object()


@dataclass(frozen=True)
class Layer:
    """Overrides from one place.

    Attributes:
        place: how messages call it.
        values: nested as in params.yaml; what they leave out stays as it is.
    """

    place: str
    values: Mapping[str, Any]


def recipe_files() -> list[Path]:
    """The recipes that come with the project, by name."""
    return sorted(RECIPES.glob("*.yaml"))


def find_recipe(name_or_file: str, folder: Path) -> Path:
    """The file of a recipe.

    Args:
        name_or_file: a name that `headstart recipes` lists, or the path of a file of one's own.
        folder: where a relative path begins.

    Raises:
        ParametersError: there is no such recipe.
    """
    named = {path.stem: path for path in recipe_files()}
    if name_or_file in named:
        return named[name_or_file]
    path = folder / os.path.expanduser(name_or_file)  # noqa: PTH111  (likewise)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or os.sep in name_or_file:
        raise ParametersError(f"{name_or_file}: not found; needed a recipe's name or file")
    close = difflib.get_close_matches(name_or_file, named, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ParametersError(f"{name_or_file}: no such recipe; {hint}there are {', '.join(named)}")


def recipe_summary(path: Path) -> str:
    """What the first line of a recipe says about it."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def recipe_layer(path: Path) -> Layer:
    """Read a recipe; a relative path in it begins in the recipe's folder.

    Raises:
        ParametersError: the file is no YAML of sections.
    """
    place = f"recipe {path.stem}" if path.parent == RECIPES else str(path)
    return Layer(place, with_paths_from(read_sections(path), path.parent.resolve()))


def settings_layer(words: Sequence[str], folder: Path, place: str = SETTING) -> Layer:
    """Read `KEY=VALUE` words; relative paths begin in `folder`.

    The value is YAML. Where the key takes text, the value is the text as it stands, unless it
    stands in quotes. Of the same key twice, the later counts.

    Args:
        words: as on the command line.
        folder: where relative paths begin.
        place: how messages call it.

    Raises:
        ParametersError: a word is not KEY=VALUE, or its value is no YAML.
    """
    values: dict[str, Any] = {}
    for word in words:
        dotted, equals, text = word.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys):
            raise ParametersError(
                f"{place}: found {word!r}, needed KEY=VALUE such as metatrain.steps=10"
            )
        value = _setting(keys, text, place)
        for key in reversed(keys):
            value = {key: value}
        values = laid_over(values, value)
    return Layer(place, with_paths_from(values, folder))


def setting_word(key: str, value: Any) -> str:
    """The `KEY=VALUE` that `settings_layer` reads as this value."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
    if plain and _takes_text(key.split(".")):
        return f"{key}={value}"
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`: what is nested in both is merged, all else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = laid_over(result[key], value) if nested else value
    return result


def overridden(base: Mapping[str, Any], layers: Sequence[Layer]) -> dict[str, Any]:
    """Lay overrides over params that are valid by themselves.

    Args:
        base: the sections of `params.yaml`.
        layers: the later ones count.

    Raises:
        ParametersError: the result is not valid; each line names the layer at fault.
    """
    result = dict(base)
    for layer in layers:
        result = laid_over(result, layer.values)
    check_params(result, lambda location: _place(layers, location))
    return result


def short_hash(layers: Sequence[Layer]) -> str:
    """Six digits that tell one set of overrides from another, however they were written."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = laid_over(values, layer.values)
    canonical = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()[:6]


def with_paths_from(
    values: Mapping[str, Any], folder: Path, unless: Callable[[Path], bool] = lambda _: False
) -> dict[str, Any]:
    """The values with relative paths begun in `folder`: of the images, and of a file of weights.

    Addresses, names of weights that are no files, and what `unless` tells of stay as they are.
    """
    begun = dict(values)
    for name, key in (("prepare", "root"), ("pretrain", "weights")):
        section = values.get(name)
        path = section.get(key) if isinstance(section, Mapping) else None
        if not isinstance(path, str) or not path or "://" in path:
            continue
        if (key == "root" or is_weights_file(path)) and not unless(Path(path)):
            begun = laid_over(begun, {name: {key: _begun(path, folder)}})
    return begun


def _begun(text: str, folder: Path) -> str:
    path = Path(os.path.expanduser(text))  # noqa: PTH111  (the other way fails on unknown users)
    while path.parts[:1] == ("..",):
        path, folder = Path(*path.parts[1:]), folder.parent
    return str(folder / path)


def _setting(keys: Sequence[str], text: str, place: str) -> Any:
    place = f"{place} {'.'.join(keys)}"
    if not _takes_text(keys):
        return parse_yaml(text, place)
    quoted = re.fullmatch(r"\s*(?:'.*'|\".*\")\s*", text, re.DOTALL)
    return parse_yaml(text, place) if quoted else text


def _takes_text(keys: Sequence[str]) -> bool:
    annotation: Any = Params
    for key in keys:
        fields = getattr(annotation, "model_fields", {})
        if key not in fields:
            return False
        annotation = fields[key].annotation
    words = get_args(annotation) if get_origin(annotation) is Literal else ()
    return annotation is str or (bool(words) and all(isinstance(word, str) for word in words))


def _place(layers: Sequence[Layer], location: Location) -> str:
    """The layer at fault; several where the fault lies in what they make together."""
    at_fault: list[str] = []
    for layer in layers:
        found = _reach(layer.values, location)
        if isinstance(found, Mapping) and found:
            at_fault.append(layer.place)
        elif not isinstance(found, Mapping) and found is not ABSENT:
            at_fault = [layer.place]  # this very value, whatever earlier layers said
    return ", ".join(at_fault) or str(PARAMS_FILE)


def _reach(values: Mapping[str, Any], location: Location) -> Any:
    """What a layer says at a location or, where it has no sections so deep, above it."""
    found: Any = values
    for key in location:
        if not isinstance(found, Mapping):
            break
        found = found.get(key, ABSENT)
    return found
