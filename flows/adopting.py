"""Takes the params of a run over into `params.yaml`, and nothing else of it."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from flows.clones import committed_text
from flows.overrides import laid_over, with_paths_from
from flows.runs import find_run, read_ending, read_note, stands_on
from tasks.artifacts.files import sha256, write_whole
from tasks.errors import DataError
from tasks.params import PARAMS_FILE
from tasks.params_file import check_params, parse_sections, parse_yaml, read_sections

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Adoption:
    """What was taken over.

    Attributes:
        written: from the key to its value, as params.yaml has it now.
        others: keys in which params.yaml differs from the run all the same.
    """

    written: Mapping[str, Any]
    others: tuple[str, ...]


def adopt_run(name: str, root: Path) -> Adoption:
    """Write what a run overrides into `params.yaml`; its comments stay.

    Args:
        name: of the run.
        root: of the project, whose run lock is held.

    Raises:
        DataError: there is no such run, or it did not reach its end, or params.yaml cannot be
            rewritten.
        ParametersError: params.yaml is not valid, or would not be.
    """
    folder = find_run(name, root)
    note = read_note(folder)
    if note is None or stands_on(folder) != note.commit:
        raise DataError(f"{folder}: stands on another commit than it was started on; run it again")
    ending = read_ending(folder)
    if ending is None or ending.error or ending.params_sha256 != sha256(folder / PARAMS_FILE):
        why = f": {ending.error}" if ending and ending.error else ""
        raise DataError(f"{name}: has not reached its end{why}; run it first")
    theirs = read_sections(folder / PARAMS_FILE)
    place = f"{PARAMS_FILE} of commit {note.commit[:7]}"
    base = parse_sections(committed_text(root, note.commit, PARAMS_FILE), place)
    begun = with_paths_from(base, root)  # a clone reads images where the project has them
    wanted = {
        keys: value
        for keys, value in _differences(base, theirs)
        if value != _at(begun, keys, default=...)
    }
    file = root / PARAMS_FILE
    text = file.read_text(encoding="utf-8")
    ours = parse_sections(text, str(PARAMS_FILE))
    fresh = _rewritten(text, ours, wanted)
    if fresh != text:
        write_whole(file, fresh)
    now = parse_sections(fresh, str(PARAMS_FILE))
    left = [
        ".".join(keys)
        for keys, value in _differences(now, theirs)
        if value != _at(with_paths_from(now, root), keys, default=...)
    ]
    return Adoption({".".join(keys): value for keys, value in wanted.items()}, tuple(left))


def _differences(
    one: Mapping[str, Any], other: Mapping[str, Any], above: Keys = ()
) -> Iterator[tuple[Keys, Any]]:
    """Where `other` differs, with its value; sections are looked into, lists are not."""
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(one.get(key), Mapping):
            yield from _differences(one[key], value, (*above, key))
        elif key not in one or one[key] != value:
            yield (*above, key), value


def _at(values: Mapping[str, Any], keys: Keys, default: Any) -> Any:
    found: Any = values
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return default
        found = found[key]
    return found


def _rewritten(text: str, ours: Mapping[str, Any], wanted: Mapping[Keys, Any]) -> str:
    """The text of params.yaml with other values, and with its comments."""
    meant = dict(ours)
    for keys, value in wanted.items():
        nested: Any = value
        for key in reversed(keys):
            nested = {key: nested}
        meant = laid_over(meant, nested)
    check_params(meant, lambda _: str(PARAMS_FILE))
    if meant == ours:
        return text
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    content = editor.load(text)
    for keys, value in wanted.items():
        section = content
        for key in keys[:-1]:
            section = section[key]
        section[keys[-1]] = _kept_in_form(section.get(keys[-1]), value)
    buffer = io.StringIO()
    editor.dump(content, buffer)
    if parse_sections(buffer.getvalue(), str(PARAMS_FILE)) != meant:
        raise DataError(
            f"{PARAMS_FILE}: cannot be rewritten with its comments; set by hand "
            + ", ".join(f"{'.'.join(keys)}: {value!r}" for keys, value in wanted.items())
        )
    return buffer.getvalue()


def _kept_in_form(before: Any, value: Any) -> Any:
    """The value, written as the one before it: on one line or on several, in quotes or not."""
    if isinstance(value, str):
        needs_quotes = parse_yaml(value, str(PARAMS_FILE)) != value if value else True
        quoted = needs_quotes or isinstance(before, DoubleQuotedScalarString)
        return DoubleQuotedScalarString(value) if quoted else value
    if isinstance(value, Mapping):
        section = CommentedMap({key: _kept_in_form(None, one) for key, one in value.items()})
        section.fa.set_flow_style()
        return section
    if isinstance(value, list):
        row = CommentedSeq([_kept_in_form(None, one) for one in value])
        if not isinstance(before, CommentedSeq) or before.fa.flow_style():
            row.fa.set_flow_style()
        return row
    return value
