"""A stage of the toy project: `python toy.py STAGE`. Files in the root steer it.

`hold-STAGE` makes it wait until the file is gone, `fail-STAGE` makes it fail once it is let go,
`crash-STAGE` makes it raise what nobody foresaw. `log` gets a line for every start.
"""

import os
import sys
import time
from pathlib import Path

from tasks.command import stage_command
from tasks.errors import DataError
from tasks.params import Params
from tasks.progress import Track

READS = {"first": Path("source.txt"), "second": Path("outs/first"), "third": Path("outs/second")}
stage = sys.argv.pop(1)


def work(params: Params, track: Track) -> None:
    with Path("log").open("a") as log:
        log.write(f"{stage} {os.getpid()}\n")
    for _ in track(range(3), "counting"):
        pass
    deadline = time.monotonic() + 60
    while Path(f"hold-{stage}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    if Path(f"fail-{stage}").exists():
        raise DataError(f"{stage}.txt: a fault on purpose\nand a second line of it")
    if Path(f"crash-{stage}").exists():
        raise ValueError("unforeseen")
    Path("outs").mkdir(exist_ok=True)
    text = READS[stage].read_text()
    Path("outs", stage).write_text(f"{text}{stage} {params.seed} {params.export.name}\n")


stage_command(stage, f"The toy stage {stage}.", work)
