"""What `headstart inspect` does, from words on the command line to files and text."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from flows.inspecting.inspection import Asked, Inspection, inspect
from flows.inspecting.page import render_page
from flows.inspecting.programs import as_json
from flows.inspecting.starting import starting_text
from flows.inspecting.telling import tell
from flows.inspecting.wanted import Wanted, find, project_params, usual_bundle, where
from flows.inspecting.words import recipe_head
from tasks.artifacts.files import write_whole
from tasks.errors import DataError, ParametersError
from tasks.progress import Track
from tasks.trees.tree import printable

_RECIPE = "start.yaml"  # where nobody names a file


@dataclass(frozen=True)
class Done:
    """What came of it.

    Attributes:
        as_json: the findings for programs.
        text: the findings for people.
        written: a line for each file.
        next_command: what to run next.
        fault: why a file that was asked for is not written; empty where all are.
    """

    as_json: dict[str, Any]
    text: RenderableType
    written: tuple[str, ...]
    next_command: str
    fault: str

    def raise_fault(self) -> None:
        """Fail where something that was asked for could not be done.

        Raises:
            DataError: no recipe was written, as no run is possible.
        """
        if self.fault:
            raise DataError(self.fault)


def run(wanted: Wanted, track: Track) -> Done:
    """Look, and write the files that were asked for.

    Raises:
        HeadstartError: the images cannot be read, the bundle is damaged, or a file cannot be
            written; faults that can be known beforehand come before any work.
    """
    _check_files(wanted)
    base, project, remark = project_params()
    images = where(wanted)
    bundle, other = usual_bundle(wanted.bundle, project)
    found = find(wanted)
    asked = Asked(images, wanted.images, wanted.timing)
    inspection = inspect(found, asked, bundle, base, track)
    inspection = inspection.with_remarks(one for one in (remark, other) if one)
    command = printable(_next(wanted, inspection))
    recipe, fault = _recipe(inspection, command)
    written = []
    if wanted.page is not None:
        _write(wanted.page, render_page(inspection, recipe, command))
        written.append(f"page: {wanted.page}")
    if wanted.recipe is not None and recipe:
        _check_absent(wanted)
        _write(wanted.recipe, recipe)
        written.append(f"recipe: {wanted.recipe}")
    fault = f"{wanted.recipe}: not written: {fault}" if wanted.recipe and fault else ""
    return Done(as_json(inspection), tell(inspection), tuple(written), command, fault)


def _recipe(found: Inspection, command: str) -> tuple[str, str]:
    """The text of the recipe, or why there is none."""
    if found.start.values is None:
        return "", found.start.remark or f"no run is possible: {'; '.join(found.fit.obstacles)}"
    try:
        return starting_text(found.start.values, recipe_head(found, command)), ""
    except DataError as error:
        return "", str(error)


def _check_files(wanted: Wanted) -> None:
    for option, file, suffixes in (
        ("--page", wanted.page, (".html", ".htm")),
        ("--write", wanted.recipe, (".yaml", ".yml")),
    ):
        if file is None:
            continue
        if file.suffix.lower() not in suffixes:
            raise ParametersError(f"{option}: found {file}, needed a name ending in {suffixes[0]}")
        if not file.absolute().parent.is_dir():
            raise DataError(f"{option}: {file.parent}: no such folder")
        if file.is_dir():
            raise DataError(f"{option}: {file}: is a folder, needed a file to write")
    _check_absent(wanted)


def _check_absent(wanted: Wanted) -> None:
    file = wanted.recipe
    if file is not None and not wanted.replace and os.path.lexists(file):
        raise DataError(f"--write: {file}: is there already; name another file, or add --force")


def _next(wanted: Wanted, found: Inspection) -> str:
    words = [wanted.path]
    if wanted.source != "image_folder":
        words += ["--source", wanted.source]
    if wanted.dataset:
        words += ["--dataset", wanted.dataset]
    look = f"headstart inspect {' '.join(map(shlex.quote, words))}"
    if found.start.values is None:
        return f"{look}  # again, with more classes or images"
    if wanted.recipe is not None:
        return f"headstart run --recipe {shlex.quote(str(wanted.recipe))}"
    return f"{look} --write {_RECIPE} && headstart run --recipe {_RECIPE}"


def _write(file: Path, text: str) -> None:
    """Write a file, whole.

    Raises:
        DataError: it cannot be written.
    """
    try:
        write_whole(file, text)
    except OSError as error:
        raise DataError(f"{file}: cannot be written: {error.strerror}") from None
