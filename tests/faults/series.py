"""One fault after another in one project: strike, look, run again, look again."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.conftest import ROOT
from tests.faults import invariants
from tests.faults.invariants import Released
from tests.faults.kills import Door, Kill, Run, draw, strike
from tests.faults.project import Clean, FaultProject
from tests.faults.services import Services

VERIFIED_EVERY = 10


@dataclass
class Lane:
    """A project with its services, and what clean runs of it give."""

    project: FaultProject
    services: Services
    clean: list[Clean]
    released: Released
    seed: int
    at: int = 0  # which clean state the project is in
    run_s: dict[Door, float] = field(default_factory=dict)

    def measure_runs(self) -> None:
        """How long undisturbed runs take: the time over which moments are drawn."""
        doors: tuple[Door, ...] = ("worker", "command")
        for door in doors:
            self.move_on()
            started = time.monotonic()
            told = Run(self.project, self.services, door).settle()
            self.run_s[door] = time.monotonic() - started
            assert self.project.lock_bytes() == self.clean[self.at].lock, told

    def move_on(self) -> tuple[Clean, Clean]:
        """Give the project data that DVC can restore nothing for.

        Returns:
            What a clean run gives on the data before, and on those of now.
        """
        before = self.clean[self.at]
        self.project.forget_runs(self.project.objects(before.entries) | self.released.objects)
        self.at = (self.at + 1) % len(self.clean)
        self.project.write_source(source(self.at))
        return before, self.clean[self.at]


def source(index: int) -> str:
    """The text of the data of a state."""
    return f"data {index}"


def suffer(lane: Lane, number: int) -> dict[str, Any]:
    """One fault and what came after it, as one row."""
    kill = draw(lane.seed, number, lane.run_s)
    faults: list[str] = []
    row: dict[str, Any] = {"number": number, **asdict(kill)}
    started = time.monotonic()
    for _attempt in range(3):
        before, now = lane.move_on()
        run = Run(lane.project, lane.services, kill.door)
        try:
            struck = strike(run, kill)
        except AssertionError as error:
            faults.append(str(error))
            struck = -1
        if struck is not None:
            break
        run.settle()  # it ended first: that was no fault, so once more
    else:
        return row | {"missed": True}
    time.sleep(kill.restart_after_s)
    row |= {"struck_s": round(struck, 2), "restarted": lane.services.supervise()}
    try:
        row["outcome"] = run.settle()
    except TimeoutError as error:
        faults.append(str(error))
    row["settled_s"] = round(time.monotonic() - started, 1)
    faults += [f"after the fault: {one}" for one in _look(lane, number, before, now)]
    faults += [f"after the next run: {one}" for one in _run_again(lane, kill, row)]
    told = [_without_places(lane, one) for one in faults]
    row |= {"seconds": round(time.monotonic() - started, 1), "faults": told}
    row["lost_bytes"] = invariants.lost_bytes(lane.project, lane.released)
    return row | {"recovered": not faults and row["lost_bytes"] == 0}


def _without_places(lane: Lane, fault: str) -> str:
    """A fault without the folders of the machine that it was found on."""
    return fault.replace(f"{lane.project.folder}/", "").replace(f"{ROOT}/", "")


def _look(lane: Lane, number: int, *clean: Clean) -> list[str]:
    project = lane.project
    faults = [f"lost: {one}" for one in invariants.lost_release(project, lane.released)]
    if told := invariants.bundle_fault(project):
        faults.append(told)
    if number % VERIFIED_EVERY == 0:
        code, output = project.run("headstart", "verify", "released/bundle")
        faults += [output] if code else []
    faults += [f"untrue: {one}" for one in invariants.untrue_entries(project, *clean)]
    faults += [f"held: {one}" for one in invariants.held_locks(project)]
    alive = invariants.working(project, lane.services.pids())
    return faults + [f"orphan: {' '.join(words)}" for words in alive.values()]


def _run_again(lane: Lane, kill: Kill, row: dict[str, Any]) -> list[str]:
    started = time.monotonic()
    run = Run(lane.project, lane.services, kill.next_door)
    try:
        told = run.settle()
    except TimeoutError as error:
        return [str(error)]
    row |= {"next_outcome": told, "next_s": round(time.monotonic() - started, 1)}
    faults = [] if told in ("completed", "exit 0") else [f"{told}: {_last_words(run)}"]
    now = lane.clean[lane.at]
    faults += [f"untrue: {one}" for one in invariants.untrue_entries(lane.project, now)]
    if lane.project.lock_bytes() != now.lock:
        faults.append("dvc.lock is not that of a clean run")
    if lane.project.outputs() != now.outputs:
        faults.append("the outputs are not those of a clean run")
    faults += [f"lost: {one}" for one in invariants.lost_release(lane.project, lane.released)]
    faults += [f"held: {one}" for one in invariants.held_locks(lane.project)]
    return faults + [f"left: {one}" for one in invariants.leftovers(lane.project)]


def _last_words(run: Run) -> str:
    return run.output()[-1500:] if run.process else ""
