"""Where the released bundle lies: `released/bundle`, a link that is moved in one step.

It is no output of any stage, so that neither a run nor a checkout of DVC ever touches what is in
use, and whoever reads it never sees half of it.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

from flows.clones import clone_at
from flows.fetching import fetch_outs
from flows.project import STATE_FOLDER
from flows.releases import Release, read_record
from tasks.artifacts.bundle_files import read_bundle_files
from tasks.artifacts.contract import MANIFEST
from tasks.artifacts.files import complete_folder, sha256
from tasks.artifacts.layout import BUNDLE
from tasks.errors import BundleError, DataError

RELEASED = Path("released")
IN_USE = RELEASED / "bundle"


def place(root: Path, release: Release, tell: Callable[[str], None]) -> Path:
    """Have `released/bundle` be the bundle of a release, bit for bit.

    It comes from the folder beside it, from DVC's cache, or from the remote, whichever has it
    first. The one that it replaces stays beside it; older ones stay in the cache alone.

    Args:
        root: of the project.
        release: whose bundle it is to be.
        tell: is called with the lines of DVC.

    Raises:
        DataError: neither cache nor remote has it.
        BundleError: what they have is not what was released; `released/bundle` is as it was.
    """
    needed = read_record(root, release)["bundle_sha256"]
    folder = root / RELEASED / release.version
    if not _is_whole(folder, needed):
        with complete_folder(folder) as partial:
            _fetch(root, release, partial, tell)
            _check(partial, needed, release.version)
    replaced = placed_version(root)
    link(root, release.version)
    for other in (root / RELEASED).iterdir():
        kept = (IN_USE.name, release.version, replaced)
        if other.is_dir() and not other.is_symlink() and other.name not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return root / IN_USE


def link(root: Path, version: str | None) -> None:
    """Have `released/bundle` be a version whose folder is there; None removes it."""
    if version is None:
        (root / IN_USE).unlink(missing_ok=True)
        return
    fresh = root / RELEASED / ".bundle.link"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version)
    fresh.replace(root / IN_USE)


def placed_version(root: Path) -> str | None:
    """The version that `released/bundle` holds; None where nothing was placed."""
    try:
        return os.readlink(root / IN_USE)  # noqa: PTH115  (as text, not as a path)
    except OSError:
        return None


def _fetch(root: Path, release: Release, into: Path, tell: Callable[[str], None]) -> None:
    """Copy the bundle out of a clone that stands on the release: only that output is fetched."""
    state = root / STATE_FOLDER
    state.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="release-", dir=state) as place:
        clone = Path(place)
        clone_at(root, clone, release.commit)
        with chdir(clone):
            if not fetch_outs([str(BUNDLE)], tell):
                raise DataError(
                    f"{release.version}: its bundle is neither in DVC's cache nor in its remote; "
                    "`dvc push --all-tags` from a checkout that has it"
                )
        shutil.copytree(clone / BUNDLE, into, dirs_exist_ok=True)


def _is_whole(folder: Path, needed: str) -> bool:
    try:
        _check(folder, needed, folder.name)
    except BundleError:
        return False
    return True


def _check(folder: Path, needed: str, version: str) -> None:
    """The record names the manifest's hash, and the manifest that of every other file."""
    files = read_bundle_files(folder)
    if sha256(folder / MANIFEST) != needed:
        raise BundleError(
            f"{folder / MANIFEST}: not what was released as {version}; DVC's cache or remote is "
            "damaged: `dvc gc` nothing, and fetch it from another copy"
        )
    there = {path.name for path in folder.iterdir()}
    if more := there - {MANIFEST, *files.manifest["files"]}:
        raise BundleError(f"{folder / min(more)}: no part of {version}; remove it")
