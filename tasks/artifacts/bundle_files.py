"""The files of a bundle: complete, undamaged, of the format that this version knows."""

import hashlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.artifacts.contract import FORMAT, GOLDEN_TOLERANCE, MANIFEST, graph_file
from tasks.artifacts.files import read_json
from tasks.artifacts.onnx_wire import refuse_dangers
from tasks.errors import BundleError, DataError

LARGEST_MANIFEST_BYTES = 2**24
LARGEST_FILE_BYTES = 2**31 - 1  # protobuf holds no more
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class BundleFiles:
    """The content of a bundle that was checked; nothing is read from disk again.

    Attributes:
        folder: where it came from.
        manifest: what it says of itself.
        contents: bytes of every file but the manifest, by name.
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
    contents = {
        name: read_listed(folder, name, entry["sha256"])
        for name, entry in manifest["files"].items()
    }
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
    if not path.is_file():
        raise BundleError(
            f"{folder}: no bundle here ({MANIFEST} not found); `headstart run` makes exports/bundle"
        )
    _refuse_larger(path, LARGEST_MANIFEST_BYTES)
    try:
        manifest = read_json(path, "export")
    except DataError as error:
        raise BundleError(str(error)) from None
    except RecursionError:
        raise BundleError(f"{path}: damaged (nested too deep); export the bundle again") from None
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


def read_listed(folder: Path, name: str, expected: str) -> bytes:
    """Read one file that the manifest lists.

    Args:
        folder: the bundle.
        name: of the file, as `read_manifest` let it pass.
        expected: its SHA-256.

    Raises:
        BundleError: the file is missing, no file, too large or damaged.
    """
    path = folder / name
    try:
        _refuse_larger(path, LARGEST_FILE_BYTES)
        content = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: not found, but {MANIFEST} lists it; export again") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise BundleError(
            f"{path}: damaged: its content differs from {MANIFEST}; copy or export the bundle again"
        )
    return content


def _refuse_larger(path: Path, limit: int) -> None:
    """Refuse what is no file, such as a pipe that never ends, or one that is too large."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{path}: found no regular file, needed one")
    if status.st_size > limit:
        raise BundleError(f"{path}: found {status.st_size:,} bytes, needed at most {limit:,}")
