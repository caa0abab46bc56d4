"""ONNX Runtime for browsers: three files of one npm package, pinned by version and hash.

Nothing of it is in the repository. It comes from a cache folder, from a tarball that the user
names, or through the user's own npm.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import DataError

logger = logging.getLogger(__name__)

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
TARBALL_VARIABLE = "HEADSTART_ONNXRUNTIME_WEB"

SCRIPT = "ort.wasm.min.js"
LOADER = "ort-wasm-simd-threaded.mjs"
BINARY = "ort-wasm-simd-threaded.wasm"
SHA256: Mapping[str, str] = {
    SCRIPT: "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    LOADER: "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    BINARY: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}

_TIMEOUT_S = 600
_LARGEST_BYTES = 64_000_000  # of one file in the tarball; the largest has 14 MB
_REMEDY = (
    f"install Node.js, which brings npm, or put the path of {PACKAGE}-{VERSION}.tgz in the "
    f"environment variable {TARBALL_VARIABLE}"
)


@dataclass(frozen=True)
class WebRuntime:
    """The three files that a page needs to run graphs on a processor.

    Attributes:
        version: of the package.
        script: classic script that defines `ort`.
        loader: module that the script imports.
        binary: WebAssembly.
    """

    version: str
    script: bytes
    loader: bytes
    binary: bytes


def fetch_runtime(cache: Path) -> WebRuntime:
    """The pinned runtime, from the cache folder, a tarball that the user names, or npm.

    Args:
        cache: folder that keeps the files for the next call; need not exist.

    Raises:
        DataError: it is in none of these places, or is not what was pinned; the text says what
            to do.
    """
    folder = cache / f"{PACKAGE}-{VERSION}"
    contents = _cached(folder)
    if contents is None:
        contents = _from_package()
        _keep(folder, contents)
    return WebRuntime(VERSION, contents[SCRIPT], contents[LOADER], contents[BINARY])


def read_tarball(path: Path) -> dict[str, bytes]:
    """The three files of the package's tarball, by name.

    Raises:
        DataError: it cannot be read, lacks one, or holds another version.
    """
    try:
        with tarfile.open(path) as tarball:
            contents = {name: _member(tarball, f"package/dist/{name}") for name in SHA256}
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: no tarball of {PACKAGE} {VERSION} ({reason})") from None
    for name, content in contents.items():
        if not _is_pinned(name, content):
            raise DataError(
                f"{path}: {name} has SHA-256 {hashlib.sha256(content).hexdigest()}, needed "
                f"{SHA256[name]}; take {PACKAGE} {VERSION}"
            )
    return contents


def _member(tarball: tarfile.TarFile, name: str) -> bytes:
    file = tarball.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read(_LARGEST_BYTES)


def _from_package() -> dict[str, bytes]:
    named = os.environ.get(TARBALL_VARIABLE)
    if named:
        return read_tarball(Path(named))
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"{PACKAGE} {VERSION}: npm not found; {_REMEDY}")
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        return read_tarball(_pack(npm, Path(folder)))


def _pack(npm: str, folder: Path) -> Path:
    """Let npm fetch the tarball, from wherever the user's settings say."""
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{PACKAGE} {VERSION}: npm failed ({error}); {_REMEDY}") from None
    tarballs = sorted(folder.glob("*.tgz"))
    if done.returncode or not tarballs:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise DataError(
            f"{PACKAGE} {VERSION}: npm could not fetch it ({lines[-1][:200]}); check the network "
            f"and npm's settings, or {_REMEDY}"
        )
    return tarballs[0]


def _cached(folder: Path) -> dict[str, bytes] | None:
    try:
        contents = {name: (folder / name).read_bytes() for name in SHA256}
    except OSError:
        return None
    return contents if all(_is_pinned(*item) for item in contents.items()) else None


def _keep(folder: Path, contents: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            partial = folder / f".{name}.{os.getpid()}.partial"
            try:
                partial.write_bytes(content)
                partial.replace(folder / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:  # costs a download the next time, nothing else
        logger.warning("%s: cannot be kept (%s)", folder, error.strerror)


def _is_pinned(name: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256[name]
