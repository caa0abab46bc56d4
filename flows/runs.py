"""Runs with overrides: a clone each under `runs/`, with a note of what was asked for."""

import difflib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from flows.project import STATE_FOLDER
from flows.repro import StageResult
from flows.tables import first_figure, read_metrics_if_any
from tasks.artifacts.files import write_json
from tasks.artifacts.layout import METRICS
from tasks.errors import BusyError, DataError
from tasks.params import PARAMS_FILE

RUNS = Path("runs")
NOTE_FILE = STATE_FOLDER / "overrides.json"
ENDING_FILE = STATE_FOLDER / "ending.json"
PREPARED_VARIABLE = "HEADSTART_PREPARED"


@dataclass(frozen=True)
class Note:
    """What a run was started with, the last time it was.

    Attributes:
        recipe: as given to `--recipe`.
        settings: as given to `--set`.
        commit: of the code.
        started: ISO 8601, UTC.
    """

    recipe: str | None
    settings: Sequence[str]
    commit: str
    started: str

    @property
    def overrides(self) -> str:
        """The overrides in one line."""
        return " ".join([*filter(None, [self.recipe]), *self.settings])


@dataclass(frozen=True)
class Ending:
    """How the last flow run in a project ended that got as far as its stages.

    Attributes:
        pid: of the run.
        params_sha256: of params.yaml, as the run found it.
        stages: those that were brought up to date, in order.
        error: why it ended before all were; None where all are.
    """

    pid: int
    params_sha256: str
    stages: tuple[StageResult, ...]
    error: str | None


def write_ending(ending: Ending, folder: Path = Path()) -> None:
    """Leave word of how a run ended, for whoever started it."""
    write_json(folder / ENDING_FILE, asdict(ending))


def forget_ending(folder: Path = Path()) -> None:
    """Take back the word of an earlier run, as another one begins: it may be killed."""
    (folder / ENDING_FILE).unlink(missing_ok=True)


def read_ending(folder: Path = Path()) -> Ending | None:
    """How the last run in a folder ended; None where nothing says."""
    try:
        told = json.loads((folder / ENDING_FILE).read_text(encoding="utf-8"))
        stages = tuple(StageResult(**one) for one in told["stages"])
        return Ending(told["pid"], told["params_sha256"], stages, told["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_note(folder: Path, note: Note) -> None:
    """Leave the note in a run's folder; it is what makes the folder a run."""
    path = folder / NOTE_FILE
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(note))


def read_note(folder: Path) -> Note | None:
    """The note in a folder; None where that is no run."""
    try:
        return Note(**json.loads((folder / NOTE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def all_runs(root: Path = Path()) -> dict[str, Note]:
    """The runs of a project by name, the last started first."""
    notes = {folder.name: read_note(folder) for folder in (root / RUNS).glob("[!.]*")}
    found = [(name, note) for name, note in notes.items() if note]
    return dict(sorted(found, key=lambda one: (one[1].started, one[0]), reverse=True))


def find_run(name: str, root: Path = Path()) -> Path:
    """The folder of a run.

    Raises:
        DataError: there is no such run.
    """
    names = list(all_runs(root))
    if name in names:
        return root / RUNS / name
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise DataError(f"{name}: no such run; {hint}`headstart runs` lists them")


def runs_table(root: Path = Path()) -> Table:
    """The runs with what they override and their first figure."""
    table = Table(box=None, pad_edge=False)
    for column in ("run", "started", "accuracy %", "of"):
        side: JustifyMethod = "right" if column == "accuracy %" else "left"
        table.add_column(column, justify=side, no_wrap=True)
    table.add_column("overrides")  # cut short where the terminal is narrow
    for name, note in all_runs(root).items():
        metrics = read_metrics_if_any(root / RUNS / name / METRICS)
        protocol, accuracy = first_figure(metrics) if metrics else ("", "-")
        started = datetime.fromisoformat(note.started).astimezone().strftime("%Y-%m-%d %H:%M")
        # Text, not str: a bracket in a value must not be taken for markup.
        overrides = Text(note.overrides, no_wrap=True, overflow="ellipsis")
        table.add_row(*map(Text, (name, started, accuracy, protocol)), overrides)
    return table


def stands_on(folder: Path) -> str:
    """The commit that a clone stands on, which is on no branch unless someone put it on one."""
    return (folder / ".git" / "HEAD").read_text(encoding="utf-8").strip()


def fingerprint(commit: str, params_text: str) -> str:
    """Tells one state of a clone from another."""
    return f"{commit} {hashlib.sha256(params_text.encode()).hexdigest()}"


def clone_environment(folder: Path, commit: str, params_text: str) -> dict[str, str]:
    """What a run in a clone inherits: what it was prepared for, and the code of its commit."""
    # `python -m` looks into the working directory first, unless PYTHONSAFEPATH forbids it.
    paths = filter(None, (str(folder), os.environ.get("PYTHONPATH")))
    return {
        PREPARED_VARIABLE: fingerprint(commit, params_text),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def check_as_prepared() -> None:
    """Check that what this process was started for still stands in the working directory.

    Between the moment a clone is set up and the moment its run holds the lock, another command
    may have set the same clone up for something else.

    Raises:
        BusyError: it does not.
    """
    prepared = os.environ.pop(PREPARED_VARIABLE, None)
    if prepared is None:
        return
    params_text = PARAMS_FILE.read_text(encoding="utf-8")
    if prepared != fingerprint(stands_on(Path()), params_text):
        raise BusyError(
            f"{Path.cwd().name}: another command set this run up for something else meanwhile; "
            "start it again, or give it another --name"
        )
