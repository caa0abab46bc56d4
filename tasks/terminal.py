"""What a person sees of a stage: bars on a terminal, plain lines anywhere else."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tasks.progress import Track

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

logger = logging.getLogger("tasks.progress")


class PlainTrack:
    """Tells how far a step is in lines of text, seldom enough to read."""

    def __init__(self, every_s: float = 3.0) -> None:
        self._every_s = every_s
        self._depth = 0

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Yield `items`; a line every few seconds, and one at the end of an outermost step."""
        total = _total(items, total)
        started = told = time.monotonic()
        done = 0
        self._depth += 1
        try:
            for item in items:
                yield item
                done += 1
                if time.monotonic() - told >= self._every_s and done != total:
                    told = time.monotonic()
                    logger.info(_progress_line(label, done, total, told - started))
        finally:
            self._depth -= 1
        seconds = time.monotonic() - started
        if self._depth == 0 or seconds >= self._every_s:
            logger.info(_progress_line(label, done, total, seconds))


class BarTrack:
    """Shows how far a step is as a bar; steps inside steps get bars below."""

    def __init__(self, progress: "Progress", stage: str) -> None:
        self._progress = progress
        self._stage = stage
        self._depth = 0

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Yield `items`; the bar of an outermost step stays when the step is done."""
        bar = self._progress.add_task(f"{self._stage}: {label}", total=_total(items, total))
        self._depth += 1
        # Not before: a process that only starts others leaves the terminal to them.
        self._progress.start()
        try:
            for item in items:
                yield item
                self._progress.advance(bar)
        finally:
            self._depth -= 1
            if self._depth:
                self._progress.remove_task(bar)
            else:
                self._progress.stop_task(bar)


class _StageFormatter(logging.Formatter):
    """Begins every line with the stage's name."""

    def __init__(self, stage: str) -> None:
        super().__init__("%(message)s")
        self._stage = stage

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).splitlines() or [""]
        return "\n".join(f"{self._stage}: {line}" for line in lines)


@contextmanager
def stage_terminal(stage: str) -> Iterator[Track]:
    """Send the stage's log to stderr, and give the `Track` that suits it."""
    root = logging.getLogger()
    logging.getLogger("tasks").setLevel(logging.INFO)
    if not sys.stderr.isatty():
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_StageFormatter(stage))
        with _attached(root, handler):
            yield PlainTrack()
        return
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    handler = RichHandler(
        console=console, show_time=False, show_level=False, show_path=False, highlighter=None
    )
    handler.setFormatter(_StageFormatter(stage))
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console)
    with _attached(root, handler):
        try:
            yield BarTrack(progress, stage)
        finally:
            progress.stop()


@contextmanager
def _attached(root: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _total(items: Iterable[object], total: int | None) -> int | None:
    return len(items) if total is None and isinstance(items, Sized) else total


def _progress_line(label: str, done: int, total: int | None, seconds: float) -> str:
    if total is None:
        return f"{label} {done}, {seconds:.0f} s"
    share = done / total if total else 1.0
    return f"{label} {share:.0%}".replace("%", " %") + f" ({done}/{total}), {seconds:.0f} s"
