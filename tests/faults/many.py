"""`python -m tests.faults.many`: a series of random kills, a line and a row of JSON each.

What is killed needs an init that takes note of it: see `tests.faults.init`.
"""

import argparse
import json
import shutil
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.faults.invariants import take_released
from tests.faults.project import Clean, FaultProject
from tests.faults.series import Lane, source, suffer
from tests.faults.services import Services

STATES = 6


def prepare_template(folder: Path, states: int = STATES, api: str | None = None) -> list[Clean]:
    """A project that is released once, with what clean runs on each data give.

    Args:
        folder: is made.
        states: how many data there are.
        api: of a server that runs; None starts one for the while.
    """
    project = FaultProject(folder, api)
    project.make()
    services = None if api else Services(project)
    try:
        if services:
            services.start_server()
            services.wait_until_up()
        project.must("headstart", "release")
    finally:
        if services:
            services.stop()
    clean = [project.clean_run(source(index)) for index in range(states)]
    again = project.clean_run(source(0))
    assert again == clean[0], "two clean runs differ, so nothing could be told by them"
    shutil.rmtree(project.root / "runs")  # it names this folder
    return clean


def open_lane(template: Path, folder: Path, clean: list[Clean], seed: int) -> Lane:
    """A copy of the released project with services of its own, and undisturbed runs timed."""
    shutil.copytree(template, folder, symlinks=True)
    project = FaultProject(folder, None)
    services = Services(project)
    return Lane(project, services, clean, take_released(project), seed)


def run_lane(template: Path, clean: list[Clean], lane: int, options: argparse.Namespace) -> None:
    """Every fault whose number falls to this lane."""
    opened = open_lane(template, template.parent / f"lane-{lane}", clean, options.seed)
    try:
        opened.services.start()
        opened.measure_runs()
        print(f"lane {lane}: undisturbed runs take {opened.run_s}", flush=True)
        for number in range(options.first + lane, options.first + options.faults, options.lanes):
            try:
                row = suffer(opened, number)
            except Exception as error:  # a fault of the harness must not end the series
                traceback.print_exc()
                row = {"number": number, "broken": f"{type(error).__name__}: {error}"}
            with options.rows.open("a") as rows:
                rows.write(json.dumps(row) + "\n")
            print(line(row), flush=True)
    finally:
        opened.services.stop()


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    if row.get("broken"):
        return f"{row['number']:4}  the harness broke: {row['broken']}"
    whom = "+".join(row["targets"])
    if row.get("missed"):
        return f"{row['number']:4}  {whom:14} missed: the run always ended first"
    told = "recovered" if row["recovered"] else f"NOT RECOVERED {row['faults']}"
    at = f"{row['stage'] or 'run'} at {row['struck_s']:.1f} s"
    ways = f"{row['door']} -> {row.get('outcome')}; next by {row['next_door']}"
    return f"{row['number']:4}  {whom:14} {at:18} {ways}: {told} ({row['seconds']:.0f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2, help="projects at the same time")
    parser.add_argument("--states", type=int, default=STATES, help="data that take turns")
    parser.add_argument("--rows", type=Path, default=Path("faults.jsonl"))
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        template = Path(place).resolve() / "template"
        clean = prepare_template(template, options.states)
        with ThreadPoolExecutor(options.lanes) as pool:
            lanes = [
                pool.submit(run_lane, template, clean, lane, options)
                for lane in range(options.lanes)
            ]
            for one in lanes:
                one.result()
    print(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
