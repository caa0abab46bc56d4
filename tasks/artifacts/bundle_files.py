"""The files of a bundle: complete, undamaged, of the format that this version knows."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from tasks.artifacts.contract import FORMAT, GOLDEN, GOLDEN_TOLERANCE, MANIFEST, graph_file
from tasks.artifacts.onnx_wire import refuse_dangers
from tasks.errors import BundleError

LARGEST_MANIFEST_BYTES = 2**24
LARGEST_FILE_BYTES = 2**31 - 1  # protobuf holds no more
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class BundleFiles:
    """What of a bundle is run, checked; nothing of it is read from disk again.

    Attributes:
        folder: where it came from.
        manifest: what it says of itself.
        contents: bytes of the graphs and of golden.npz, by name. The other files were compared
            with the manifest, piece by piece, and not kept.
    """

    folder: Path
    manifest: Mapping[str, Any]
    contents: Mapping[str, bytes]


def read_bundle_files(folder: Path) -> BundleFiles:
    """Read a bundle and compare every file with the manifest.

    The hashes show damage. They are no proof of origin: who can replace a file can replace the
    manifest as well.

    Raises:
        BundleError: no bundle, another format, or a file missing, damaged or dangerous.
    """
    manifest = read_manifest(folder)
    contents: dict[str, bytes] = {}
    for name, entry in manifest["files"].items():
        if is_kept(name):
            contents[name] = read_listed(folder, name, entry["sha256"])
        else:
            check_listed(folder, name, entry["sha256"])
    for name, content in contents.items():
        if name.endswith(".onnx"):
            refuse_dangers(content, str(folder / name))
    return BundleFiles(folder, manifest, contents)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a bundle says of itself, and check the parts that a reader relies on.

    Raises:
        BundleError: no bundle, another format, or a manifest that is damaged or lists no graphs.
    """
    path = folder / MANIFEST
    try:
        with open_regular(path, LARGEST_MANIFEST_BYTES) as file:
            manifest = json.loads(file.read())
    except FileNotFoundError:
        raise BundleError(
            f"{folder}: no bundle here ({MANIFEST} not found); `headstart run` makes exports/bundle"
        ) from None
    except RecursionError:
        raise BundleError(f"{path}: damaged (nested too deep); export the bundle again") from None
    except ValueError as error:
        raise BundleError(f"{path}: damaged ({error}); export the bundle again") from None
    if not isinstance(manifest, dict):
        raise BundleError(f"{path}: found {type(manifest).__name__}, needed a JSON object")
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{path}: found format {manifest.get('format')!r}, needed {FORMAT}; use the version of "
            "headstart that wrote it, or export again"
        )
    _check_manifest(path, manifest)
    for name in manifest["files"]:
        if not _PLAIN_NAME.fullmatch(name):
            raise BundleError(f"{path}: found file name {name!r}, needed a plain name")
    for graph in GOLDEN_TOLERANCE:
        if graph_file(graph) not in manifest["files"]:
            raise BundleError(f"{path}: lists no {graph_file(graph)}; export the bundle again")
    return manifest


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """The manifest itself has no hash."""
    limits, files = manifest.get("limits"), manifest.get("files")
    sound = (
        isinstance(manifest.get("name"), str)
        and _is_count(manifest.get("embedding_dim"))
        and _is_count(manifest.get("feature_dim", manifest["embedding_dim"]))
        and isinstance(manifest.get("base_classes"), list)
        and isinstance(limits, dict)
        and all(_is_count(limits.get(f"maximum_{one}")) for one in ("batch", "image_side_px"))
        and isinstance(files, dict)
        and all(isinstance(one, dict) and "sha256" in one for one in files.values())
    )
    if not sound:
        raise BundleError(f"{path}: damaged (entries missing); copy or export the bundle again")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_kept(name: str) -> bool:
    """Whether a file is held in memory: one that is run, or read as a whole."""
    return name.endswith(".onnx") or name == GOLDEN


def read_listed(folder: Path, name: str, expected: str) -> bytes:
    """Read one file that the manifest lists.

    Args:
        folder: the bundle.
        name: of the file, as `read_manifest` let it pass.
        expected: its SHA-256.

    Raises:
        BundleError: the file is missing, no file, too large or damaged.
    """
    with _open_listed(folder, name) as file:
        content = file.read()
    _compare(folder / name, hashlib.sha256(content).hexdigest(), expected)
    return content


def check_listed(folder: Path, name: str, expected: str) -> int:
    """Compare one file with the manifest, without holding it; arguments and errors likewise.

    Returns:
        Its size in bytes.
    """
    with _open_listed(folder, name) as file:
        _compare(folder / name, hashlib.file_digest(file, "sha256").hexdigest(), expected)
        return file.tell()


@contextmanager
def open_regular(path: Path, limit: int) -> Iterator[BufferedReader]:
    """Open a plain file for reading: no link out of the bundle, no pipe that never ends.

    Args:
        path: the file.
        limit: of its size in bytes.

    Raises:
        BundleError: it is something else, larger, or cannot be read.
        FileNotFoundError: there is none.
    """
    if stat.S_ISLNK(path.lstat().st_mode):
        raise BundleError(f"{path}: found a link, needed the file itself; copy it here")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: found no regular file, needed one")
            if status.st_size > limit:
                raise BundleError(
                    f"{path}: found {status.st_size:,} bytes, needed at most {limit:,}"
                )
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


@contextmanager
def _open_listed(folder: Path, name: str) -> Iterator[BufferedReader]:
    path = folder / name
    try:
        with open_regular(path, LARGEST_FILE_BYTES) as file:
            yield file
    except FileNotFoundError:
        raise BundleError(f"{path}: not found, but {MANIFEST} lists it; export again") from None


def _compare(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise BundleError(
            f"{path}: damaged: its content differs from {MANIFEST}; copy or export the bundle again"
        )
