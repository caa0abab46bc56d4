"""kill -9 of a stage, DVC, the flow, the worker and the server, alone and in pairs."""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.faults.invariants import working
from tests.faults.project import STAGES, TIMEOUT_S, FaultProject
from tests.faults.services import Services

Target = Literal["stage", "dvc", "flow", "worker", "server"]
Door = Literal["worker", "command", "dvc"]
TARGETS: tuple[Target, ...] = ("stage", "dvc", "flow", "worker", "server")
PAIRS = tuple(itertools.combinations(TARGETS, 2))
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
# How long each lives in an undisturbed run here; a moment is drawn from that.
LIFE_S = {"stage": 1.0, "dvc": 2.0}
GONE_WITHIN_S = 5.0


@dataclass(frozen=True)
class Kill:
    """Whom to kill, and when.

    Attributes:
        targets: killed together.
        door: how the run is started: through the worker, or `headstart run`.
        stage: whose life `moment_s` counts in; None counts from the start of the run.
        moment_s: after the first of the targets is seen.
        restart_after_s: how long the supervisor takes to notice.
        next_door: how the next run is started.
    """

    targets: tuple[Target, ...]
    door: Door
    stage: str | None
    moment_s: float
    restart_after_s: float
    next_door: Door


def draw(seed: int, number: int, run_s: dict[Door, float]) -> Kill:
    """The kill of a number: single ones and pairs take turns, all else is drawn.

    Args:
        seed: of the whole series.
        number: of the fault; the same numbers give the same kill.
        run_s: how long an undisturbed run takes by each door.
    """
    rng = random.Random(f"{seed}/{number}")
    targets = rng.choice(PAIRS) if number % 2 else (rng.choice(TARGETS),)
    door: Door = "worker" if "worker" in targets or rng.random() < 0.2 else "command"
    inner = next((one for one in ("stage", "dvc") if one in targets), None)
    stage = rng.choice(STAGES) if inner else None
    moment = rng.uniform(0, LIFE_S[inner] if inner else run_s[door])
    doors: tuple[Door, ...] = ("worker", "command", "dvc")
    next_door = rng.choices(doors, (1, 3, 12))[0]
    return Kill(targets, door, stage, moment, rng.uniform(0, 1), next_door)


class Run:
    """A run through one of the doors."""

    def __init__(self, project: FaultProject, services: Services, door: Door) -> None:
        self.project = project
        self.services = services
        self.door = door
        self.id = ""
        self.process: subprocess.Popen[str] | None = None
        if door == "worker":
            self.id = services.submit()
        else:
            words = ("headstart", "run") if door == "command" else ("dvc", "repro")
            self.process = project.start(*words)

    def working(self) -> dict[int, list[str]]:
        return working(self.project, self.services.pids())

    def outcome(self) -> str:
        """The flow run's state, or the exit code of the command; `going on` until there is one."""
        if self.process is None:
            return self.services.state(self.id).lower()
        code = self.process.poll()
        return "going on" if code is None else f"exit {code}"

    def ended(self) -> bool:
        return _is_final(self.outcome())

    def settle(self) -> str:
        """Wait until nothing works any more; the outcome.

        Raises:
            TimeoutError: something works on.
        """
        deadline = time.monotonic() + TIMEOUT_S
        idle_since: float | None = None
        while time.monotonic() < deadline:
            self.services.supervise()
            busy = self.working()
            now = time.monotonic()
            idle_since = None if busy else idle_since or now
            told = "going on" if busy and self.id else self.outcome()
            # A run that lost its worker or its flow may stand as running with Prefect for ever.
            patience_s = {"scheduled": TIMEOUT_S, "pending": 60}.get(told, 3)
            abandoned = idle_since and now - idle_since > patience_s
            if not busy and (_is_final(told) or abandoned):
                break
            time.sleep(0.2)
        else:
            raise TimeoutError(f"still at work: {self.working()}")
        if self.process:
            self.process.communicate(timeout=TIMEOUT_S)
        return self.outcome()

    def output(self) -> str:
        """What the command printed, once it has ended."""
        assert self.process is not None
        return self.process.communicate(timeout=TIMEOUT_S)[0]


def _is_final(outcome: str) -> bool:
    return outcome.startswith("exit") or outcome.upper() in FINAL


def kind_of(words: list[str]) -> Target | None:
    """What a process is, by its command line."""
    text = " ".join(words)
    if "stage.py" in words and not words[0].endswith("sh"):
        return "stage"
    if "flows.bound" in words and "dvc" in words:
        return "dvc"
    if "prefect.engine" in text or "prefect.flow_engine" in text or text.endswith("headstart run"):
        return "flow"
    return None


def strike(run: Run, kill: Kill) -> float | None:
    """Kill the targets at their moment.

    Returns:
        How many seconds after the start of the run that was; None where the run ended first.

    Raises:
        AssertionError: a process of the run outlived the one that it depends on.
    """
    started = time.monotonic()
    if kill.stage is not None:
        inner = "stage" if "stage" in kill.targets else "dvc"
        if not _wait(run, lambda: _find(run, inner, kill.stage)):
            return None
    elif "flow" in kill.targets and not _wait(run, lambda: _find(run, "flow")):
        return None
    moment = kill.moment_s if kill.stage else kill.moment_s - (time.monotonic() - started)
    time.sleep(max(moment, 0))
    pids: list[int | None] = []

    def all_there() -> bool:
        pids[:] = [_pid(run, target) for target in kill.targets]
        return all(pids)

    if not _wait(run, all_there):
        return None
    bound = _bound_to(run, kill)
    for pid in pids:
        assert pid is not None
        with contextlib.suppress(ProcessLookupError):  # it may have died with the one before
            os.kill(pid, signal.SIGKILL)
    struck = time.monotonic() - started
    deadline = time.monotonic() + GONE_WITHIN_S
    while left := bound & set(run.working()):
        assert time.monotonic() < deadline, f"orphans: {[run.working().get(one) for one in left]}"
        time.sleep(0.05)
    return struck


def end_all(project: FaultProject) -> None:
    """Kill whatever works for a project, services and all."""
    while alive := working(project, set()):
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _bound_to(run: Run, kill: Kill) -> set[int]:
    """The processes that must end with the targets."""
    kinds = {pid: kind_of(words) for pid, words in run.working().items()}
    if "flow" in kill.targets:
        return {pid for pid, kind in kinds.items() if kind in ("stage", "dvc")}
    if "dvc" in kill.targets:
        return {pid for pid, kind in kinds.items() if kind == "stage"}
    return set()


def _pid(run: Run, target: Target) -> int | None:
    service = {"worker": run.services.worker, "server": run.services.server}.get(target)
    return service.pid if service else _find(run, target)


def _find(run: Run, target: str, stage: str | None = None) -> int | None:
    found = [
        pid
        for pid, words in run.working().items()
        if kind_of(words) == target and (stage is None or stage in words)
    ]
    return max(found, default=None)


def _wait(run: Run, fact: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 60
    checked = time.monotonic()
    while not fact():
        if time.monotonic() > deadline:
            return False
        if time.monotonic() - checked > 1:
            checked = time.monotonic()
            if run.ended():
                return False
        time.sleep(0.02)
    return True
