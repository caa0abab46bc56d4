"""What a stage reads, as dvc.yaml declares it, and whether that stood still while it ran.

DVC records params and dependencies as they stand when a stage *ends*. Were `params.yaml` edited
while a model trains, the lock file would credit the model to params it never saw. So a stage
compares what it declared at its start and at its end, and fails when the two differ.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import DataError, MovedInputsError
from tasks.params import PARAMS_FILE

PIPELINE_FILE = Path("dvc.yaml")


@dataclass(frozen=True)
class StageDeclaration:
    """One stage of dvc.yaml, as far as its inputs and outputs go."""

    name: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[tuple[str, str], ...]  # (file, dotted key); the key '' is the whole file


@dataclass(frozen=True)
class FileState:
    """A file as it was; content is compared only where the rest differs."""

    size_bytes: int
    modified_ns: int
    inode: int
    sha256: str


@dataclass(frozen=True)
class Inputs:
    """What a stage declared, as it stood at one moment."""

    declaration: StageDeclaration
    files: Mapping[str, FileState]
    params: Mapping[tuple[str, str], str]  # value as canonical JSON


def declared_stages(path: Path = PIPELINE_FILE) -> dict[str, StageDeclaration]:
    """Read the stages of a dvc.yaml, in its order.

    Raises:
        DataError: the file is missing or is not a pipeline.
    """
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        return {
            one.name: one for name, stage in stages.items() for one in _declarations(name, stage)
        }
    except FileNotFoundError:
        raise DataError(f"{path}: not found; run from the project's root") from None
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        found = " ".join(str(error).split())
        raise DataError(f"{path}: not a pipeline that can be read ({found})") from None


def take_inputs(stage: str) -> Inputs:
    """Take down what `stage` reads as it stands now.

    Raises:
        DataError: dvc.yaml does not know the stage, or a dependency is missing.
    """
    stages = declared_stages()
    named = [one for name, one in stages.items() if name.partition("@")[0] == stage]
    if not named:
        raise DataError(f"{PIPELINE_FILE}: no stage {stage}; there are {', '.join(stages)}")
    declaration = named[0]
    for dep in declaration.deps:
        if not Path(dep).exists():
            raise DataError(_missing(dep, stages))
    # Params first: what is edited while files are hashed then counts as moved.
    params = _read_params(declaration)
    files = {path: _file_state(Path(path)) for path in _files_of(declaration)}
    return Inputs(declaration, files, params)


def fingerprint(inputs: Inputs) -> str:
    """One hexadecimal number for all that a stage reads; another param or byte gives another."""
    content = {
        "params": [[file, key, value] for (file, key), value in sorted(inputs.params.items())],
        "files": [[path, state.sha256] for path, state in sorted(inputs.files.items())],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def check_unmoved(before: Inputs) -> None:
    """Compare the inputs with what was taken down before.

    Raises:
        MovedInputsError: a param or a file differs; the text names each.
    """
    changes = [*_moved_params(before), *_moved_files(before)]
    if changes:
        shown = changes[:5] + ([f"and {len(changes) - 5} more"] if len(changes) > 5 else [])
        raise MovedInputsError(
            f"inputs moved while the stage ran: {'; '.join(shown)}. "
            "Nothing of this run is recorded; run it again"
        )


def _declarations(name: str, stage: Mapping[str, Any]) -> Iterator[StageDeclaration]:
    """The stage, or one for each item of the parameter that its `foreach` names."""
    if "foreach" not in stage:
        yield _declaration(name, stage)
        return
    key = stage["foreach"].removeprefix("${").removesuffix("}")
    items = _at(_read_yaml(PARAMS_FILE), key)
    yield from (_declaration(f"{name}@{item}", stage["do"]) for item in items or [])


def _declaration(name: str, stage: Mapping[str, Any]) -> StageDeclaration:
    return StageDeclaration(
        name=name,
        deps=tuple(_paths(stage.get("deps"))),
        outs=tuple(
            path for kind in ("outs", "metrics", "plots") for path in _paths(stage.get(kind))
        ),
        params=tuple(_params(stage.get("params"))),
    )


def _paths(entries: list[Any] | None) -> Iterator[str]:
    """The paths of a list whose entries are `path` or `path: {options}`."""
    for entry in entries or []:
        yield from entry if isinstance(entry, dict) else [str(entry)]


def _params(entries: list[Any] | None) -> Iterator[tuple[str, str]]:
    """The params of a list whose entries are `key` or `file: [key, ...]`."""
    for entry in entries or []:
        if isinstance(entry, dict):
            for file, keys in entry.items():
                yield from ((file, key) for key in keys or [""])
        else:
            yield str(PARAMS_FILE), str(entry)


def _missing(dep: str, stages: Mapping[str, StageDeclaration]) -> str:
    for stage in stages.values():
        if any(Path(dep).is_relative_to(out) for out in stage.outs):
            return f"{dep}: not found; stage {stage.name} makes it: run `dvc repro {stage.name}`"
    return f"{dep}: not found; {PIPELINE_FILE} lists it and no stage makes it, so restore it"


def _files_of(declaration: StageDeclaration) -> Iterator[str]:
    for dep in declaration.deps:
        if Path(dep).is_file():
            yield dep
        for folder, folders, names in os.walk(dep):
            # Byte code appears beside the sources by itself; .dvcignore leaves it out as well.
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            yield from (str(Path(folder, name)) for name in sorted(names))


def _file_state(path: Path, before: FileState | None = None) -> FileState:
    """The state of a file; its content is read only if it may differ from `before`."""
    try:
        found = path.stat()
        where = (found.st_size, found.st_mtime_ns, found.st_ino)
        if before and where == (before.size_bytes, before.modified_ns, before.inode):
            return before
        with path.open("rb") as file:
            return FileState(*where, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _moved_files(before: Inputs) -> Iterator[str]:
    now = set(_files_of(before.declaration))
    yield from (f"{path} is new" for path in sorted(now - set(before.files)))
    for path, state in before.files.items():
        try:
            if path not in now:
                yield f"{path} is gone"
            elif _file_state(Path(path), state).sha256 != state.sha256:
                yield f"{path} was changed"
        except DataError as error:
            yield str(error)


def _read_params(declaration: StageDeclaration) -> dict[tuple[str, str], str]:
    contents = {file: _read_yaml(Path(file)) for file in {file for file, _ in declaration.params}}
    return {
        (file, key): json.dumps(_at(contents[file], key), sort_keys=True, default=str)
        for file, key in declaration.params
    }


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise DataError(f"{path}: cannot be read") from None


def _at(value: Any, key: str) -> Any:
    """What stands under a dotted key; None where nothing does."""
    for part in filter(None, key.split(".")):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _moved_params(before: Inputs) -> Iterator[str]:
    try:
        now = _read_params(before.declaration)
    except DataError as error:
        yield str(error)
        return
    for (file, key), old in before.params.items():
        if now[file, key] != old:
            for change in _differences(key, json.loads(old), json.loads(now[file, key])):
                yield f"{file}: {change}"


def _differences(key: str, old: Any, new: Any) -> Iterator[str]:
    """Each differing leaf below `key`, as `key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{key}.{name}".lstrip(".")
            if old.get(name) != new.get(name):
                yield from _differences(inner, old.get(name), new.get(name))
    else:
        yield f"{key}: {json.dumps(old)} -> {json.dumps(new)}"
