"""One trial of a sweep: a plain `headstart run` in a clone, in a process of its own.

`python -m flows.trial` is that process: it takes a plan on standard input, sets the clone up and
becomes its run. Working directory and environment are its own, so any number work at a time.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.cloned_run import become_planned
from flows.clones import Plan
from flows.metric import Figure, read_figure
from flows.notifying import MUTED
from flows.project import KEEPER_VARIABLE, STATE_FOLDER
from flows.repro import StageResult
from flows.runs import PREPARED_VARIABLE, Note, fingerprint, read_ending, stands_on
from flows.saying import say
from flows.tables import read_metrics
from tasks.artifacts.files import write_json
from tasks.artifacts.layout import METRICS
from tasks.errors import HeadstartError
from tasks.lifeline import bind_to
from tasks.params import PARAMS_FILE
from tasks.run_lock import TOKEN_VARIABLE

RECORD = STATE_FOLDER / "trial.json"
LOGS = STATE_FOLDER / "trials"
Tell = Callable[[str], None]

_living: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()


@dataclass(frozen=True)
class Outcome:
    """How a trial ended that reached its end.

    Attributes:
        figure: what it reached.
        stages: what was done for each, when it ran.
        seconds: that it took then.
        kept: it had reached its end before, and was not run again.
    """

    figure: Figure
    stages: tuple[StageResult, ...]
    seconds: float
    kept: bool


class TrialFailedError(HeadstartError):
    """A trial did not reach its end."""

    exit_code = 1


def run_trial(plan: Plan, metric: str | None, wait_s: float, tell: Tell) -> Outcome:
    """Run a trial, unless it has reached its end before with the same code and params.

    Args:
        plan: of its clone.
        metric: a path into metrics.json.
        wait_s: how long to wait for another run in the same clone.
        tell: is called with a line that says for whom it waits.

    Raises:
        TrialFailedError: it did not reach its end, or its metrics lack what was asked for.
    """
    try:
        kept = _is_finished(plan)
        if not kept:
            _run(plan, wait_s, tell)
        record = json.loads((plan.folder / RECORD).read_text(encoding="utf-8"))
        figure = read_figure(read_metrics(plan.folder / METRICS), metric)
    except TrialFailedError:
        raise
    except HeadstartError as error:
        raise TrialFailedError(str(error)) from None
    stages = tuple(StageResult(**one) for one in record["stages"])
    return Outcome(figure, stages, float(record["seconds"]), kept)


def let_trials_run() -> None:
    """Take back what `stop_trials` has said."""
    _stopping.clear()


def stop_trials() -> None:
    """End every trial that this process runs, and start no further one."""
    _stopping.set()
    for process in list(_living):
        process.terminate()


def _is_finished(plan: Plan) -> bool:
    """Whether the clone stands as planned, and a run in it reached its end as it stands."""
    planned = fingerprint(plan.commit, plan.params_text)
    try:
        record = json.loads((plan.folder / RECORD).read_text(encoding="utf-8"))
        params_text = (plan.folder / PARAMS_FILE).read_text(encoding="utf-8")
        stands = fingerprint(stands_on(plan.folder), params_text)
        return bool(record["prepared"] == planned == stands) and (plan.folder / METRICS).is_file()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _run(plan: Plan, wait_s: float, tell: Tell) -> None:
    log = plan.root / LOGS / f"{plan.folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    process = _start(plan, wait_s)
    try:
        tail = _follow(process, log, tell)
        code = process.wait()
    finally:
        _living.discard(process)
    ending = read_ending(plan.folder)
    if ending is None or ending.pid != process.pid:
        ending = None  # of another run
    if code != 0 or ending is None:
        why = (ending.error if ending else None) or " ".join(tail) or f"exit code {code}"
        raise TrialFailedError(f"{why}; {log.relative_to(plan.root)} holds all it said")
    record = {
        "prepared": fingerprint(plan.commit, plan.params_text),
        "stages": [asdict(one) for one in ending.stages],
        "seconds": time.monotonic() - started,
    }
    write_json(plan.folder / RECORD, record)


def _start(plan: Plan, wait_s: float) -> subprocess.Popen[str]:
    foreign = {TOKEN_VARIABLE, PREPARED_VARIABLE}
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.trial"],
        cwd=plan.root,
        env=inherited | MUTED | {KEEPER_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,  # a Ctrl-C reaches the sweep alone, which ends its trials
    )
    _living.add(process)
    if _stopping.is_set():
        process.terminate()
    assert process.stdin is not None  # it was started with a pipe
    with process.stdin as pipe:
        json.dump({"plan": asdict(plan), "wait_s": wait_s}, pipe, default=str)
    return process


def _follow(process: subprocess.Popen[str], log: Path, tell: Tell) -> list[str]:
    """Keep what the process says, and tell for whom it waits; its last line."""
    assert process.stdout is not None  # likewise
    tail: deque[str] = deque(maxlen=1)
    with log.open("w", encoding="utf-8") as file:
        for line in process.stdout:
            file.write(line)
            file.flush()
            if "waiting for " in line:
                tell(line.strip().removeprefix("headstart: "))
            if line.strip():
                tail.append(line.strip().removeprefix("headstart: "))
    return list(tail)


def _become(asked: dict[str, Any]) -> None:
    plan = asked["plan"]
    planned = Plan(
        root=Path(plan["root"]),
        folder=Path(plan["folder"]),
        commit=plan["commit"],
        params_text=plan["params_text"],
        note=Note(**plan["note"]),
    )
    become_planned(planned, time.monotonic() + asked["wait_s"], say)


def main() -> None:
    """Become the run that standard input asks for."""
    bind_to(int(os.environ[KEEPER_VARIABLE]))
    try:
        _become(json.load(sys.stdin))
    except HeadstartError as error:
        say(" ".join(str(error).splitlines()))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
