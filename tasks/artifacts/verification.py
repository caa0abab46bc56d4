"""Checks a bundle in a process of its own, which is ended when it takes too long.

Where the system keeps such limits (Linux does, macOS and Windows keep not all of them), that
process may write no file and take no more than a stated share of memory. It is no sandbox: ONNX
Runtime and ONNX's checker read what somebody else wrote, and a fault of theirs would run with the
rights of whoever verifies.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tasks.artifacts import bundle_checks
from tasks.artifacts.contract import MANIFEST, known_files
from tasks.errors import BundleError

MEMORY_BYTES = 2**32  # of address space, beside what the graphs take
LARGEST_BUNDLE_BYTES = 2**32  # of all files
LARGEST_GRAPHS_BYTES = 2**31  # of the graphs among them
TIMEOUT_S = 600.0
_TIMES_ON_DISK = 6  # the bytes, the graph, the runtime's copy, and the like of two graphs
# -P: where the command is given may be the very folder whose content is in doubt.
_COMMAND = (sys.executable, "-P", "-m", bundle_checks.__name__)
NO_AUTHOR = (
    "The hashes show damage, not who made the bundle: who can change a file can change "
    f"{MANIFEST} too."
)


@dataclass(frozen=True)
class Check:
    """What was found of one thing.

    Attributes:
        subject: a file of the bundle, or another thing that was looked at.
        ok: whether it is as it has to be.
        words: what was found; where it is not ok, what was needed too.
        warning: that it is ok, but that there is something to know before it is used.
    """

    subject: str
    ok: bool
    words: str
    warning: bool = False

    @property
    def line(self) -> str:
        """The same as one line of text."""
        told = self.words.removeprefix(f"{self.subject}: ")
        state = "warn" if self.warning else "ok"
        return f"{state if self.ok else 'FAILED':6}  {self.subject}: {told}"


@dataclass(frozen=True)
class Verification:
    """What was found of a bundle.

    Attributes:
        checks: in the order they were made; a fault ends what depends on it.
    """

    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that found a fault; none means that the bundle may be used."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def summary(self) -> str:
        """All of it in one line."""
        if not self.failed:
            warnings = sum(check.warning for check in self.checks)
            told = f", {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
            return f"sound: {len(self.checks)} checks, no fault{told}"
        return f"refused: {len(self.failed)} of {len(self.checks)} checks found a fault"


def verify(
    folder: Path, *, timeout_s: float = TIMEOUT_S, memory_bytes: int | None = None
) -> Verification:
    """Check a bundle, also one from elsewhere. Nothing of it is run or unpacked in this process.

    Args:
        folder: the bundle; it is only read.
        timeout_s: how long all checks together may take.
        memory_bytes: how much address space they may take, where the system can bound it; None
            is `MEMORY_BYTES` and a few times what the graphs take on disk, which is bounded too.

    Raises:
        BundleError: there is no such folder.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: no folder here, needed that of a bundle")
    try:
        graphs_bytes = _graphs_bytes(folder)
    except BundleError as error:
        return Verification((Check("folder", False, str(error)),))
    if memory_bytes is None:
        memory_bytes = MEMORY_BYTES + _TIMES_ON_DISK * graphs_bytes
    command = [*_COMMAND, str(folder.absolute()), str(memory_bytes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as child:
        try:
            output, errors = child.communicate(timeout=timeout_s)
            ended = _ending(child.returncode, errors)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            ended = f"not done after {timeout_s:.0f} s, needed to be; the graph may have no end"
    return _read(output.decode("utf-8", "replace"), ended)


def _graphs_bytes(folder: Path) -> int:
    """Bytes of the graphs in a folder, whose files are few and small enough to look into.

    Raises:
        BundleError: they are not.
    """
    sizes: dict[str, int] = {}
    limit = len(known_files())
    for path in folder.iterdir():
        sizes[path.name] = path.lstat().st_size
        if len(sizes) > 2 * limit:  # a few too many are told by name later
            raise BundleError(f"found more than {2 * limit} files, needed at most {limit}")
    graphs = sum(size for name, size in sizes.items() if name.endswith(".onnx"))
    for what, size, largest in (
        ("files", sum(sizes.values()), LARGEST_BUNDLE_BYTES),
        ("graphs", graphs, LARGEST_GRAPHS_BYTES),
    ):
        if size > largest:
            raise BundleError(f"found {what} of {size:,} bytes, needed at most {largest:,}")
    return graphs


def _read(output: str, ended: str) -> Verification:
    """The checks in what the process wrote, and as one more the fault that ended it, if any."""
    checks, begun, done = [], "bundle", False
    for line in output.splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # cut off by the end
            continue
        begun = told.get("begun", begun)
        done = done or "done" in told
        if "subject" in told:
            words, warning = told["words"], told.get("warning", False)
            checks.append(Check(told["subject"], told["ok"], words, warning))
    if not done:
        checks.append(Check(begun, False, ended))
    return Verification(tuple(checks))


def _ending(code: int, errors: bytes) -> str:
    if code < 0:
        return f"its check was ended by signal {-code}, needed to end by itself; it may want memory"
    last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"its check ended with code {code} ({''.join(last)[:300]}), needed to end by itself"
