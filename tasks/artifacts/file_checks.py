"""Whether the files of a bundle are those that its manifest promises, and what of them is code.

Every check gives back what it found in words, or raises BundleError.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tasks.fewshot
from tasks.artifacts.bundle_files import (
    LARGEST_FILE_BYTES,
    check_listed,
    is_kept,
    open_regular,
    read_listed,
)
from tasks.artifacts.contract import CLIENT, MANIFEST, known_files, promised_files
from tasks.errors import BundleError


class Warned(str):
    """What a check found that is no fault, but is to be known before the bundle is used."""


def promises(manifest: Mapping[str, Any]) -> str:
    """The manifest lists every file that it promises, and none that has no place in a bundle."""
    listed, promised = frozenset(manifest["files"]), promised_files(manifest)
    if foreign := sorted(listed - known_files()):
        raise BundleError(
            f"{MANIFEST}: lists {_named(foreign)}, needed none but {_named(sorted(known_files()))}"
        )
    if missing := sorted(promised - listed):
        raise BundleError(f"{MANIFEST}: promises {_named(missing)}, but lists no such file")
    return f"lists all {len(promised)} files that it promises, and none without a known purpose"


def no_others(folder: Path, listed: frozenset[str]) -> str:
    """The folder holds what the manifest lists."""
    others = sorted(path.name for path in folder.iterdir() if path.name not in listed)
    if others:
        raise BundleError(
            f"found {len(others)} files that {MANIFEST} does not list ({_named(others)}), needed "
            "none; remove them"
        )
    return f"holds the {len(listed)} files of the bundle and no others"


def read(folder: Path, name: str, sha256: str, contents: dict[str, bytes]) -> str:
    """A file is what the manifest lists; what will be run of it goes to `contents`."""
    if is_kept(name):
        contents[name] = read_listed(folder, name, sha256)
        size = len(contents[name])
    else:
        size = check_listed(folder, name, sha256)
    return f"{size:,} bytes, SHA-256 as the manifest lists it"


def client(folder: Path) -> str:
    """Compare the client with this version's; its code is never run from the bundle."""
    own = Path(tasks.fewshot.__file__).read_bytes()
    with open_regular(folder / CLIENT, LARGEST_FILE_BYTES) as file:
        same = file.read(len(own) + 1) == own
    if same:
        return "the client of this version, to the byte"
    return Warned(
        "another client than this version's: code that was not checked; read it before you run it, "
        "or use the one that comes with headstart"
    )


def page(_: Path) -> str:
    """The teach page is a program: nobody looked at its script."""
    return Warned(
        "holds a script that was not checked; the page asks the browser for no network, but open "
        "it only if you trust where this bundle comes from"
    )


def _named(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12]))
