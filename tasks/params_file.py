"""Reads `params.yaml`, and tells each fault with file, key, value and what is allowed."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tasks.errors import ParametersError
from tasks.params import PARAMS_FILE, Params

Location = Sequence[str | int]  # the keys and indices that lead to a value


class _Yaml12Loader(yaml.SafeLoader):
    """Reads `1e-3` as the number it is, as DVC does; YAML 1.1 takes it for text."""


class _Yaml12Dumper(yaml.SafeDumper):
    """Puts text that looks like such a number in quotes."""


for _either in (_Yaml12Loader, _Yaml12Dumper):
    _either.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check a params file.

    Args:
        path: a YAML file with the sections of `Params`.

    Raises:
        ParametersError: the file is missing, is not YAML, or holds a key or value that is not
            allowed; the text names file, key, value and what is allowed, a line a fault.
    """
    return check_params(read_sections(path), lambda _: str(path))


def read_sections(path: Path) -> dict[str, Any]:
    """Read a YAML file of sections by name, whatever they hold.

    Raises:
        ParametersError: the file is missing, or holds no such thing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParametersError(
            f"{path}: not found; run from the project's root, or name the file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParametersError(f"{path}: cannot be read: {error}") from None
    return parse_sections(text, str(path))


def parse_sections(text: str, place: str) -> dict[str, Any]:
    """The same from the text itself.

    Args:
        text: YAML.
        place: where it stands, for messages.
    """
    content = parse_yaml(text, place)
    if not isinstance(content, dict):
        raise ParametersError(f"{place}: found {type(content).__name__}, needed sections by name")
    return content


def parse_yaml(text: str, place: str) -> Any:
    """Any one value, by the same rules.

    Raises:
        ParametersError: the text is not YAML.
    """
    try:
        return _Yaml12Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is a date such as 2024-13-01
        raise ParametersError(f"{place}: not valid YAML: {_one_line(str(error))}") from None


def dump_sections(content: Mapping[str, Any]) -> str:
    """YAML that the functions above, and DVC, read as `content` again."""
    return yaml.dump(dict(content), Dumper=_Yaml12Dumper, sort_keys=False, allow_unicode=True)


def check_params(content: Mapping[str, Any], place: Callable[[Location], str]) -> Params:
    """Check what was read.

    Args:
        content: the sections.
        place: says where the value at a location stands, for messages.

    Raises:
        ParametersError: a key or value is not allowed; a line a fault.
    """
    if faults := [
        f"{place(location)}: {_key(location)}: found {value!a}, needed text in UTF-8"
        for location, value in _unwritable(content, ())
    ]:
        raise ParametersError("\n".join(faults))
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        faults = [_describe(place, fault) for fault in error.errors()]
        raise ParametersError("\n".join(faults)) from None


def _describe(place: Callable[[Location], str], fault: Any) -> str:
    location = [part for part in fault["loc"] if part != "function-after"]
    path = place(location)
    key = _key(location)
    found = fault["input"]
    if fault["type"] == "extra_forbidden":
        allowed = _allowed_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"{path}: {key}: unknown key; {hint}allowed here: {', '.join(allowed)}"
    if fault["type"] == "missing":
        return f"{path}: {key}: missing; it is required"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{path}: {key}: {message}" if key else f"{path}: {message}"
    requirement = message.removeprefix("Input should be ")
    return f"{path}: {key}: found {found!r}, needed {requirement}"


def _key(location: Location) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")


def _unwritable(content: Any, location: tuple[str | int, ...]) -> Iterator[tuple[Location, str]]:
    """Text that no file can hold: bytes of a command line that are no UTF-8."""
    if isinstance(content, str) and not content.isascii():
        try:
            content.encode()
        except UnicodeEncodeError:
            yield location, content
    nested = content.items() if isinstance(content, Mapping) else ()
    for key, value in enumerate(content) if isinstance(content, list) else nested:
        yield from _unwritable(value, (*location, key))


def _allowed_keys(location: list[str | int]) -> list[str]:
    model: Any = Params
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        arguments = getattr(annotation, "__args__", ())
        model = next((a for a in (annotation, *arguments) if hasattr(a, "model_fields")), None)
        if model is None:
            return []
    return list(model.model_fields)


def _one_line(text: str) -> str:
    return " ".join(text.split())
