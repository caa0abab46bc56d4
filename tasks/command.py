"""The frame around every `python -m tasks.STAGE`: the same start, the same end, the same faults."""

import argparse
import contextlib
import errno
import importlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from tasks.errors import HeadstartError
from tasks.inputs import check_unmoved, fingerprint, take_inputs
from tasks.lifeline import bind_to_parent
from tasks.params import Params
from tasks.params_file import load_params
from tasks.progress import Track
from tasks.run_lock import join_run
from tasks.terminal import stage_terminal

logger = logging.getLogger(__name__)

MARKER_VARIABLE = "HEADSTART_STAGE_MARKER"
LOCK_FILE = Path("dvc.lock")
WRITE_FAULTS = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS}

Work = Callable[[Params, Track], None]
ResumableWork = Callable[[Params, Track, str], None]


def stage_command(
    stage: str, summary: str, work: Work | None = None, *, resumes: bool = False
) -> None:
    """Run one stage as a command, and end the process with its exit code.

    Args:
        stage: the stage's name in dvc.yaml.
        summary: what `--help` says.
        work: does the stage's work, given all params and the way to show progress. None takes the
            function `STAGE` of `tasks.STAGE.stage`, imported once the process is tied to its
            parent, holds the lock and has taken down its inputs: torch alone takes seconds.
        resumes: whether `STAGE` of `tasks.STAGE.stage` keeps checkpoints; it is then also given
            the fingerprint of the inputs, which is what they are bound to.

    Raises:
        SystemExit: always; 0 when the work is done, else the exit code of the fault.
    """
    argparse.ArgumentParser(
        prog=f"python -m tasks.{stage}",
        description=f"{summary} Run from the project's root; params.yaml holds what it reads.",
    ).parse_args()
    # Whoever starts a stage by hand under nohup means it to outlive the shell.
    if "DVC_STAGE" in os.environ or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        bind_to_parent()
    with stage_terminal(stage) as track:
        code = _run(stage, work, resumes, track)
    sys.exit(code)


def _run(stage: str, work: Work | None, resumes: bool, track: Track) -> int:
    started = time.monotonic()
    try:
        with join_run(f"python -m tasks.{stage}"):
            _mark(state="running")
            load_params()  # a typo is told before large inputs are hashed
            inputs = take_inputs(stage)
            if resumes:
                cast(ResumableWork, _work_of(stage))(load_params(), track, fingerprint(inputs))
            else:
                (work or cast(Work, _work_of(stage)))(load_params(), track)
            check_unmoved(inputs)
    except HeadstartError as error:
        return _fail(stage, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(stage, "stopped from the keyboard", 130)
    except (OSError, MemoryError, RuntimeError) as error:
        told = _tell_machine_fault(error)
        if told is None:
            _mark(state="failed", exit_code=1, error=f"{type(error).__name__}: {error}")
            raise
        return _fail(stage, told, 2)
    except Exception as error:
        _mark(state="failed", exit_code=1, error=f"{type(error).__name__}: {error}")
        raise
    logger.info("done in %.0f s", time.monotonic() - started)
    _mark(state="done")
    return 0


def _work_of(stage: str) -> object:
    return getattr(importlib.import_module(f"tasks.{stage}.stage"), stage)


def _tell_machine_fault(error: Exception) -> str | None:
    """One line on a fault of disk or memory; None when the error is a fault of the code."""
    if isinstance(error, OSError):
        # numpy reports a short write, which is how a full disk shows, without a number.
        short_write = error.errno is None and "requested and" in str(error)
        if error.errno not in WRITE_FAULTS and not short_write:
            return None
        path = error.filename or Path.cwd()
        return f"{path}: {error.strerror or 'written in part only; is the disk full?'}"
    # torch has its own words for it, and is not imported here.
    out_of_memory = type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
    if isinstance(error, MemoryError) or out_of_memory:
        detail = " ".join(str(error).split())[:200]
        return f"not enough memory{': ' if detail else ''}{detail}; ask for smaller batches"
    return None


def _fail(stage: str, text: str, code: int) -> int:
    logger.error(text)
    _mark(state="failed", exit_code=code, error=text)
    # DVC removes a stage's outputs before it runs it. The flow brings them back by itself.
    if "DVC_STAGE" in os.environ and MARKER_VARIABLE not in os.environ and _is_recorded(stage):
        logger.error("`dvc checkout --force %s` brings back the previous outputs", stage)
    return code


def _is_recorded(stage: str) -> bool:
    try:
        return f"\n  {stage}:" in LOCK_FILE.read_text(encoding="utf-8")
    except OSError:
        return False


def _mark(**verdict: object) -> None:
    """Tell the flow, where one watches, that this stage really ran, and how it ended."""
    if path := os.environ.get(MARKER_VARIABLE):
        with contextlib.suppress(OSError):  # the fault to tell may be a full disk
            Path(path).write_text(json.dumps(verdict), encoding="utf-8")
