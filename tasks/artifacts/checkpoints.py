"""Where an interrupted training goes on: its whole state in one file, beside the results.

A checkpoint belongs to this checkout and to one run, so it lies below `STATE`, where neither git
nor DVC looks. It is bound to a key: everything that the stage reads, and what else decides the
bits of a result. With other params, code, data, torch or threads, it is somebody else's.

A stage that trains looks like this:

    checkpoints = Checkpoints("metatrain", key)
    done = 0
    if (state := checkpoints.load()) is not None:
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    for number in range(done, steps):
        step(number)  # random streams are named by number, so nothing of them is kept
        if checkpoints.due(milestone=ends_epoch(number)):
            checkpoints.save(
                {
                    "module": module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "done": number + 1,
                }
            )
    write_results()
    checkpoints.clear()
"""

import hashlib
import logging
import os
import platform
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, final

import numpy as np
import torch

from tasks.artifacts.layout import STATE
from tasks.ranks.group import ALONE, Ranks

logger = logging.getLogger(__name__)

FOLDER = STATE / "checkpoints"
EVERY_S = 60.0  # between milestones, a step that ends later than this after the last save is due
SHARE = 0.02  # of the time, the most that saving may take

# What reading bytes that are no checkpoint was seen to raise.
_DAMAGE = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    UnpicklingError,
)


@final
class Checkpoints:
    """The one checkpoint of a stage.

    What is saved replaces what was saved before, and is whole or not there: it is written to
    another name, brought to the disk and renamed. A checkpoint of another key, and one that is
    damaged, is removed and told in the log, and the stage starts anew.

    Args:
        stage: its name in dvc.yaml.
        key: stands for all that the stage reads, see `tasks.inputs.fingerprint`; None keeps no
            checkpoints at all, for callers that want none.
        ranks: of the training; the first writes for all, and every one reads what it wrote.
    """

    def __init__(self, stage: str, key: str | None, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._folder = FOLDER / stage
        self._path = None if key is None else self._folder / f"{_bound(key)}.pt"
        self._saved_at = time.monotonic()
        self._cost_s = 0.0

    def load(self) -> dict[str, Any] | None:
        """The state saved last under this key, or None where there is none.

        Tensors lie in memory, not on the device they came from; `load_state_dict` moves them.
        """
        if self._path is None:
            return None
        state = self._load(self._path) if self._ranks.first else None
        if not self._ranks.tells(state is not None):
            return None
        return state if self._ranks.first else _read(self._path)

    def _load(self, own: Path) -> dict[str, Any] | None:
        if not self._folder.is_dir():
            return None
        for path in self._folder.iterdir():
            if path != own:
                if path.suffix == ".pt":  # and not the remains of a process killed while it saved
                    logger.info("checkpoint of other params, code or data: removed")
                path.unlink()
        if not own.exists():
            return None
        try:
            return _read(own)
        except _DAMAGE as error:
            first = " ".join(str(error).split())[:100]
            logger.warning("checkpoint %s is damaged (%s): starting anew", own, first)
            own.unlink(missing_ok=True)
            return None

    def due(self, *, milestone: bool) -> bool:
        """Whether now is a time to save.

        Saving takes at most `SHARE` of the time: after one that took a second, none is due for
        fifty. The first milestone is always due.

        Args:
            milestone: whether the stage has come to the end of an epoch or the like; elsewhere a
                checkpoint is due only when the last one is older than `EVERY_S`.
        """
        if self._path is None or not self._ranks.first:
            return False
        wait_s = max(0.0 if milestone else EVERY_S, self._cost_s * (1 / SHARE - 1))
        return time.monotonic() - self._saved_at >= wait_s

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep a state in place of the one before. A full disk is told, and stops nobody.

        Args:
            state: `state_dict`s, tensors, numbers, text, None, and lists and dicts of these.
        """
        if self._path is None or not self._ranks.first:
            return
        started = time.monotonic()
        partial = self._path.with_suffix(".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            _sync_folder(self._folder)
        except (OSError, RuntimeError) as error:
            logger.warning("no checkpoint kept: %s", " ".join(str(error).split())[:200])
            partial.unlink(missing_ok=True)
        self._saved_at = time.monotonic()
        self._cost_s = self._saved_at - started

    def clear(self) -> None:
        """Remove the stage's checkpoint: its work is done."""
        if self._path is not None and self._ranks.first:
            shutil.rmtree(self._folder, ignore_errors=True)


def _bound(key: str) -> str:
    """The key with what else decides bits: libraries, threads, instructions of the processor."""
    parts = (
        key,
        platform.python_version(),
        platform.machine(),
        np.__version__,
        torch.__version__,
        torch.get_num_threads(),
        torch.backends.cpu.get_cpu_capability(),
        torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    )
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, Any]:
    # torch writes the checksums of a zip file and does not compare them when it reads.
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"checksum of {damaged}")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise TypeError(f"found {type(state).__name__}, needed dict")
    return state


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where the system lets folders be opened."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
