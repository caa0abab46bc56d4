"""The toy's stage `evaluate`: works as many seconds as `work_s` says; writes metrics.

`evaluate.queries: 13` fails. `starts` gets a line for every start, in the clone where it starts.
"""

import json
import time
from pathlib import Path

from tasks.artifacts.layout import EVALUATED, METRICS
from tasks.command import stage_command
from tasks.errors import DataError
from tasks.params import Params
from tasks.progress import Track


def work(params: Params, track: Track) -> None:
    del track
    with Path("starts").open("a") as starts:
        starts.write("evaluate\n")
    if params.evaluate.queries == 13:
        raise DataError("thirteen: a fault on purpose")
    until = time.process_time() + float(Path("work_s").read_text())
    while time.process_time() < until:
        pass
    accuracy = 1 / (1 + abs(params.evaluate.queries - 7)) * params.evaluate.episodes / 1000
    protocol = {"domain": "novel", "way": 5, "shot": 1}
    figures = {"accuracy": {"meta": accuracy}, "interval95": {"meta": 0.01}}
    EVALUATED.mkdir(parents=True)
    metrics = {"episodes": params.evaluate.episodes, "results": {"novel": protocol | figures}}
    METRICS.write_text(json.dumps(metrics))


stage_command("evaluate", "The toy stage evaluate.", work)
