"""Starts the processes that train together, and sees them to one end.

torch's own launcher (`torch.distributed.run`, elastic) starts one process a rank, watches them and
starts all of them again when one was lost; they then go on from the last checkpoint. What is added
here: a fault that a person can mend is told once and not tried again; every rank dies with the
process that started it; and what the launcher did to signals is undone.
"""

import json
import logging
import os
import secrets
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from tasks import errors
from tasks.artifacts.layout import STATE
from tasks.errors import HeadstartError, LostProcessError
from tasks.lifeline import bind_to_parent
from tasks.progress import Track, untracked
from tasks.ranks.group import ALONE, Ranks
from tasks.terminal import stage_terminal

logger = logging.getLogger(__name__)

FOLDER = STATE / "ranks"
RESTARTS = 3
SHUTDOWN_S = 5
ECHO_WAIT_S = 3
_CHATTY = (
    "torch.distributed.elastic.agent.server.api",
    "torch.distributed.elastic.multiprocessing.api",
    "torch.multiprocessing.spawn",
)
_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")


@dataclass(frozen=True)
class _Launch:
    stage: str
    launcher: int  # its pid
    threads: int
    folder: Path
    work: Callable[..., None]
    arguments: tuple[Any, ...]

    @property
    def verdict(self) -> Path:
        """A fault that trying again does not mend."""
        return self.folder / "verdict.json"

    @property
    def echo(self) -> Path:
        """A fault that may only tell of a process that is gone."""
        return self.folder / "echo.json"


def on_ranks(
    stage: str, processes: int, track: Track, work: Callable[..., None], *arguments: Any
) -> None:
    """Do a stage's work: here, or together in several processes; see `launch`.

    Args:
        stage: its name.
        processes: how many; with one nothing is launched.
        track: shows the progress of one alone; several bring their own.
        work: called as `work(*arguments, track, ranks)`.
        *arguments: as for any spawned process.
    """
    if processes == 1:
        work(*arguments, track, ALONE)
    else:
        launch(stage, processes, work, *arguments)


def launch(stage: str, processes: int, work: Callable[..., None], *arguments: Any) -> None:
    """Have several processes do one stage's work together; returns when it is done.

    The threads that torch would use here are shared out among them. All run on this machine and
    meet over gloo, on loopback.

    Args:
        stage: names the folder of what the launcher keeps, and begins every line of the log.
        processes: how many.
        work: called in each as `work(*arguments, track, ranks)`; a function of a module. Called
            again, it goes on where a checkpoint was kept.
        *arguments: as for any spawned process.

    Raises:
        HeadstartError: what `work` raised in any of them.
        LostProcessError: one was killed more than `RESTARTS` times.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    folder = FOLDER / stage
    shutil.rmtree(folder, ignore_errors=True)  # what a killed one left
    folder.mkdir(parents=True)
    threads = max(1, torch.get_num_threads() // processes)
    asked = _Launch(stage, os.getpid(), threads, folder, work, arguments)
    heeded = [one for one in _SIGNALS if signal.getsignal(signal.Signals[one]) != signal.SIG_IGN]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=secrets.token_hex(8),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=RESTARTS,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
        signals_to_handle=",".join(heeded),
        shutdown_timeout=SHUTDOWN_S,
    )
    logger.info("%d processes of %d thread(s) each", processes, threads)
    try:
        with _as_before(heeded), _without_launchers_log():
            # Of what is meant for whoever writes a launcher, errors only.
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
            elastic_launch(config, _rank)(asked)
    except SignalException as ended:
        _end_by(ended.sigval)
    except ChildFailedError as error:
        # Who lost the one that was killed may have been heard before it was missed.
        killed = [one.exitcode for one in error.failures.values() if one.exitcode < 0]
        if fault := _fault(asked.verdict):
            raise fault from None
        if not killed:
            raise (_fault(asked.echo) or error) from None
        name = signal.Signals(-killed[0]).name
        raise LostProcessError(
            f"one of {processes} processes was killed ({name}) {RESTARTS + 1} times; is memory "
            f"short? Run it again to go on, or set {stage}.processes lower"
        ) from None
    finally:
        fault = _fault(asked.verdict)
        shutil.rmtree(folder, ignore_errors=True)
    if fault is not None:
        raise fault


def _rank(asked: _Launch) -> None:
    """What each process does."""
    bind_to_parent(asked.launcher)
    if asked.verdict.exists():  # another rank told of a fault that trying again does not mend
        return
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(asked.threads)
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    asked.echo.unlink(missing_ok=True)  # of an earlier start; nobody works before all have met
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    # A file of each start: in the launcher's own store, ranks found addresses of those now dead.
    meeting = asked.folder.resolve() / f"meeting-{attempt}"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=ranks.number, world_size=ranks.size
    )
    with _terminal(asked.stage, ranks) as track:
        if attempt and ranks.first:
            logger.warning("a process was lost; start %d of %d", attempt + 1, RESTARTS + 1)
        try:
            asked.work(*asked.arguments, track, ranks)
        except Exception as error:
            if _is_echo(error):
                _tell(asked.echo, error)
                # The launcher ends all ranks at the first that it finds gone: let that be the one
                # that was killed.
                time.sleep(ECHO_WAIT_S)
            else:
                _tell(asked.verdict, error)
            # At once: on the way out of Python, this process would wait for the others.
            os._exit(1)
    torch.distributed.destroy_process_group()


@contextmanager
def _terminal(stage: str, ranks: Ranks) -> Iterator[Track]:
    if ranks.first:
        with stage_terminal(stage) as track:
            yield track
    else:
        logging.getLogger().addHandler(logging.NullHandler())
        yield untracked


def _is_echo(error: Exception) -> bool:
    """Whether a rank may have raised this because another one is gone."""
    out_of_memory = "allocate memory" in str(error)
    return isinstance(error, (RuntimeError, ConnectionError)) and not out_of_memory


def _tell(verdict: Path, error: Exception) -> None:
    """Leave word of a fault; the first to do so is heard."""
    told: dict[str, Any] = {"text": str(error), "kind": "unforeseen"}
    if isinstance(error, HeadstartError):
        told["kind"] = type(error).__name__
    elif isinstance(error, OSError):
        told |= {"kind": "OSError", "number": error.errno, "path": error.filename}
    elif isinstance(error, MemoryError) or "allocate memory" in str(error):
        told["kind"] = "MemoryError"
    else:
        told["text"] = traceback.format_exc()
    fresh = verdict.with_name(f"{verdict.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(told, default=str), encoding="utf-8")
        os.link(fresh, verdict)
    except FileExistsError:
        pass
    except OSError:
        logger.exception("could not tell the launcher")  # it tries again, and then gives up


def _fault(verdict: Path) -> Exception | None:
    """What `_tell` was given, to be raised here."""
    try:
        told = json.loads(verdict.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return RuntimeError(f"a process failed, and its word of it cannot be read: {error}")
    kind, text = told["kind"], told["text"]
    if kind == "OSError":
        number = told["number"]
        if number is None:
            return OSError(text)
        return OSError(number, os.strerror(number), told["path"])
    if kind == "MemoryError":
        return MemoryError(text)
    raised = getattr(errors, kind, RuntimeError)
    fault: Exception = raised(text)
    return fault


@contextmanager
def _as_before(names: list[str]) -> Iterator[None]:
    """Put back the handlers of signals, and the environment, that torch's launcher changes."""
    handlers = {name: signal.getsignal(signal.Signals[name]) for name in names}
    environment = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        for name, handler in handlers.items():
            signal.signal(signal.Signals[name], handler)


@contextmanager
def _without_launchers_log() -> Iterator[None]:
    """Keep to ourselves what torch's launcher says of every process that ends."""
    chatty = [logging.getLogger(name) for name in _CHATTY]
    before = [one.disabled for one in chatty]
    for one in chatty:
        one.disabled = True
    try:
        yield
    finally:
        for one, disabled in zip(chatty, before, strict=True):
            one.disabled = disabled


def _end_by(ended: signal.Signals) -> NoReturn:
    """End as this process would have without torch's handler."""
    if ended == signal.SIGINT:
        raise KeyboardInterrupt
    os.kill(os.getpid(), ended)
    raise SystemExit(128 + ended)  # somebody else handles it
