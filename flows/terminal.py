"""What a person sees of a flow run: the lines of its stages, and of Prefect only warnings.

Prefect's own record of the run, with everything in it, goes to its API all the same.
"""

import logging
import re
import sys
from contextlib import suppress
from pathlib import Path

import prefect
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

PREFECT_FOLDER = str(Path(prefect.__file__).parent)
RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
PROGRESS_LINE = re.compile(r"(?P<step>\w+: .+) \d+ % \((?P<done>\d+)/(?P<total>\d+)\), \d+ s")


class OwnLinesFilter(logging.Filter):
    """Passes what this project logs, and of Prefect warnings that are no echo of a failed run."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide by where the call to the logger stands."""
        if not record.pathname.startswith(PREFECT_FOLDER):
            return True
        return record.levelno >= logging.WARNING and not record.name.startswith(RUN_LOGGERS)


class LineHandler(logging.Handler):
    """Writes messages, no tracebacks, to stderr; on a terminal, progress becomes a bar."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(OwnLinesFilter())
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._progress: Progress | None = None
        self._step = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        with suppress(OSError, ValueError):  # a closed terminal must not end a training
            line = record.getMessage()
            if not self._console.is_terminal:
                print(line, file=sys.stderr, flush=True)  # noqa: T201
            elif match := PROGRESS_LINE.fullmatch(line):
                self._advance(match["step"], int(match["done"]), int(match["total"]))
            else:
                self._console.print(line, markup=False)

    def _advance(self, step: str, done: int, total: int) -> None:
        if self._progress is None or self._step != step:
            self.stop()
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._progress.add_task(step, total=total)
            self._progress.start()
            self._step = step
        self._progress.update(self._progress.task_ids[0], completed=done)
        if done >= total:
            self.stop()

    def stop(self) -> None:
        """Let go of the terminal; the bar stays as it stands."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def close(self) -> None:
        """Let go of the terminal at the end of the process."""
        self.stop()
        super().close()


def show_own_lines() -> None:
    """Put the plain lines of this project in the place of Prefect's console log; repeatable."""
    root = logging.getLogger()
    if any(isinstance(handler, LineHandler) for handler in root.handlers):
        return
    for handler in list(root.handlers):
        if isinstance(handler, PrefectConsoleHandler):
            root.removeHandler(handler)
    root.addHandler(LineHandler())


def end_bars() -> None:
    """Let go of the terminal before something else writes to it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.stop()
