"""The command line. Torch and Prefect are imported inside the commands that need them."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from flows.project import enter_project, prepare_environment
from tasks.artifacts.layout import BUNDLE
from tasks.errors import HeadstartError, ParametersError
from tasks.params_file import load_params

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Gives an image classifier a head start on classes it has never seen.",
)

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

BundleFolder = Annotated[Path, typer.Option(help="The bundle, as `headstart run` leaves it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]
WaitSeconds = Annotated[
    float, typer.Option("--wait-s", min=0, help="Wait so long for another run; 0 fails at once.")
]


@app.command()
def run(wait_s: WaitSeconds = 3600) -> None:
    """Train, evaluate and export; what is up to date stays."""
    _enter()
    from rich.console import Console

    from flows.server import API_VARIABLE, ensure_api

    own = API_VARIABLE not in os.environ
    _say("starting" + (" Prefect's temporary server" if own else ""))
    ensure_api(schedules=False)
    from flows.tables import metrics_table, stages_table
    from flows.terminal import show_own_lines
    from flows.training import training
    from tasks.artifacts.layout import REPORT

    show_own_lines()
    try:
        summary = training(wait_s=wait_s)
    except HeadstartError as error:
        sys.exit(error.exit_code)  # the flow has told it in its log
    console = Console()
    console.print(stages_table(summary.stages))
    if summary.metrics:
        console.print(metrics_table(summary.metrics))
    print(f"report: {REPORT}\nbundle: {BUNDLE}\ndone in {summary.seconds:.0f} s")


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Show the metrics of the last run."""
    enter_project()
    from rich.console import Console

    from flows.tables import metrics_table, read_metrics

    metrics = read_metrics()
    if as_json:
        print(json.dumps(metrics, indent=2))
    else:
        Console().print(metrics_table(metrics))


@app.command()
def serve(
    cron: Annotated[str | None, typer.Option(help='When to run, such as "0 3 * * *".')] = None,
    every: Annotated[str | None, typer.Option(help="How often: 90s, 15m, 6h or 1d.")] = None,
    interval: Annotated[int | None, typer.Option(min=1, help="The same in seconds.")] = None,
    wait_s: WaitSeconds = 3600,
) -> None:
    """Run on a schedule until stopped; no server to set up."""
    if sum(given is not None for given in (cron, every, interval)) != 1:
        raise ParametersError("serve: give exactly one of --cron, --every and --interval")
    seconds = _parse_duration_s(every) if every is not None else interval
    _enter()
    from flows.server import API_VARIABLE, ensure_api

    _say("starting")
    page = ensure_api(schedules=True) or os.environ[API_VARIABLE]
    from flows.schedule import serve_training

    _say(f"runs on schedule until Ctrl-C; they are shown at {page}")
    serve_training(cron, seconds, wait_s)


@app.command()
def predict(
    support: Annotated[Path, typer.Option(help="Folder with one folder of images a class.")],
    query: Annotated[list[Path], typer.Option(help="Image, or folder of images; may be repeated.")],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="More queries.")
    ] = None,
    bundle: BundleFolder = BUNDLE,
    as_json: AsJson = False,
) -> None:
    """Learn classes from a few images each, and name other images."""
    from flows.predicting import answers_json, answers_table
    from flows.predicting import predict as answer
    from tasks.terminal import stage_terminal

    with stage_terminal("predict") as track:
        answers = answer(bundle, support, [*query, *(more or [])], track)
    _show(answers_json(answers) if as_json else answers_table(answers))


@app.command()
def score(
    *,
    images: Annotated[Path, typer.Option(help="Holds CLASS/* or GROUP/CLASS/*.")],
    bundle: BundleFolder = BUNDLE,
    way: Annotated[int, typer.Option(min=2, help="Classes in an episode.")] = 20,
    shot: Annotated[int, typer.Option(min=1, help="Images to learn a class from.")] = 1,
    queries: Annotated[int, typer.Option(min=1, help="Images of a class to name.")] = 1,
    episodes: Annotated[int, typer.Option(min=2, help="How many to draw.")] = 400,
    within_group: Annotated[
        bool, typer.Option("--within-group", help="Classes of an episode come from one group.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds draw other episodes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on images of your own."""
    from flows.scoring import Plan, score_table
    from flows.scoring import score as measure
    from tasks.terminal import stage_terminal

    plan = Plan(way, shot, queries, episodes, within_group, seed)
    with stage_terminal("score") as track:
        found = measure(bundle, images, plan, track)
    _show(found.as_json() if as_json else score_table(found, str(bundle)))


def main() -> None:
    """Run the command line; a fault that a person can mend is told in lines, not a traceback."""
    # Also when the terminal goes away, unless nohup says that the run is to outlive it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit_on_signal)
    try:
        app()
    except HeadstartError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped from the keyboard", 130)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}", 2)


def _enter() -> None:
    """Change to the project's root, and stop at a fault in params.yaml before anything starts."""
    enter_project()
    load_params()
    prepare_environment()


def _parse_duration_s(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([smhd])", text.strip())
    if not match or int(match[1]) == 0:
        raise ParametersError(f"--every: found {text!r}, needed a number and s, m, h or d: 15m")
    return int(match[1]) * UNITS_S[match[2]]


def _show(result: object) -> None:
    """Print a table for people, or anything else as JSON for programs."""
    from rich.console import Console
    from rich.table import Table

    if isinstance(result, Table):
        Console().print(result)
    else:
        print(json.dumps(result, indent=2))


def _say(line: str) -> None:
    print(f"headstart: {line}", file=sys.stderr, flush=True)


def _fail(text: str, code: int) -> NoReturn:
    for line in text.splitlines():
        _say(line)
    sys.exit(code)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Leave through every `finally`, so that servers and stages are stopped on the way."""
    del frame
    signal.signal(number, signal.SIG_IGN)  # once is enough; a second must not cut the way short
    sys.exit(128 + number)
