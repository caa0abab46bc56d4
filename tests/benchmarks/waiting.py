"""Trainings on the same cores: whether threads that wait for one another spin or sleep.

    python -m tests.benchmarks.waiting

From the project's root. One training by itself and two at once, an epoch each, by threads that
spin, as is usual, and by threads that sleep, taking turns.
"""

import argparse
import os
import subprocess
import sys

from tests.benchmarks.turns import spread

SIDES: dict[str, dict[str, str]] = {"spin": {}, "sleep": {"OMP_WAIT_POLICY": "PASSIVE"}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for trainings in (1, 2):
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side, environment in SIDES.items():
                seconds[side].append(_seconds(trainings, environment))
        for side, values in seconds.items():
            print(f"{trainings} at once, {side}: {spread(values)} s", flush=True)


def _seconds(trainings: int, environment: dict[str, str]) -> float:
    """Mean seconds of an epoch in each of several processes."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.epochs"],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(trainings)
    ]
    told = [one.communicate()[0] for one in started]
    return sum(map(float, told)) / trainings


if __name__ == "__main__":
    main()
