"""Data that DVC tracks, as a candidate takes it: imports as they are today, all else in place."""

from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import yaml

from flows.clones import git
from flows.fetching import fetch_outs
from flows.project import STATE_FOLDER
from flows.repro import run_limited
from tasks.artifacts.files import write_json
from tasks.errors import DataError

Tell = Callable[[str], None]
UPDATED = STATE_FOLDER / "updated.json"


def tracking_files(folder: Path) -> dict[Path, bool]:
    """The files by which DVC tracks data in a clone, and whether each is of an import."""
    names = git(folder, "ls-files", "-z", "--", "*.dvc").split("\0")
    return {Path(name): _is_import(folder / name) for name in filter(None, names)}


def forget_updates(folder: Path) -> None:
    """Have a clone's tracking files say again what its commit says.

    Raises:
        DataError: git fails.
    """
    if (folder / UPDATED).exists():
        edited = git(folder, "diff", "--name-only", "-z", "HEAD", "--", "*.dvc").split("\0")
        if names := list(filter(None, edited)):
            git(folder, "checkout", "--quiet", "--force", "HEAD", "--", *names)
        (folder / UPDATED).unlink()


def update_data(folder: Path, tell: Tell) -> list[Path]:
    """Bring what DVC imports to what its source holds today, and what it tracks into place.

    Args:
        folder: of the clone.
        tell: is called with the lines of DVC.

    Returns:
        The tracking files that say something else than before.

    Raises:
        DataError: a source or DVC's remote does not answer; the project is as it was.
        StageFailedError: a source took longer than a stage may.
    """
    found = tracking_files(folder)
    if not found:
        return []
    with chdir(folder):
        UPDATED.parent.mkdir(exist_ok=True)
        write_json(UPDATED, {"files": [str(path) for path in found]})
        for path, is_import in found.items():
            if is_import:
                _update(path, tell)
        tracked = [str(out) for path, is_import in found.items() if not is_import
                   for out in _outs(path)]  # fmt: skip
        if tracked:
            fetch_outs(tracked, tell)
    changed = git(folder, "diff", "--name-only", "-z", "HEAD", "--", "*.dvc").split("\0")
    return [Path(name) for name in filter(None, changed)]


def _update(path: Path, tell: Tell) -> None:
    code, tail = run_limited(str(path), ("dvc", "update", str(path)), tell)
    if code != 0:
        faults = [line.removeprefix("ERROR: ") for line in tail if line.startswith("ERROR")]
        raise DataError(
            f"{path}: its source cannot be read: {' '.join(faults[:1] or tail[-1:])}. Nothing was "
            "released and nothing lost; check the source and release again"
        )


def _is_import(path: Path) -> bool:
    return bool(_content(path).get("deps"))


def _outs(path: Path) -> Iterator[Path]:
    for out in _content(path).get("outs") or []:
        yield path.parent / str(out["path"])


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    return content if isinstance(content, dict) else {}
