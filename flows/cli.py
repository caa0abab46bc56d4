"""The command line. What takes long to import, a command imports that needs it."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from flows import cli_bundle, cli_data, cli_releases, cli_server, cli_sweep, cli_verify
from flows.patience import TIMEOUT_VARIABLE
from flows.project import STARTED_VARIABLE, enter_project, enter_valid_project, seen_from
from flows.saying import say
from tasks.artifacts.layout import BUNDLE, METRICS, REPORT
from tasks.errors import HeadstartError, ParametersError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Gives an image classifier a head start on classes it has never seen.",
)

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

WaitSeconds = Annotated[
    float, typer.Option("--wait-s", min=0, help="Wait so long for another run; 0 fails at once.")
]

StageTimeout = Annotated[
    float | None,
    typer.Option("--stage-timeout-s", min=1, help="Stop a stage that takes longer than this."),
]


@app.command()
def run(
    recipe: Annotated[
        str | None, typer.Option(help="Override params by a recipe's name or file.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one of them; may be repeated."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of such a run, in place of one after its overrides.")
    ] = None,
    wait_s: WaitSeconds = 3600,
    stage_timeout_s: StageTimeout = None,
) -> None:
    """Train, evaluate and export; what is up to date stays.

    With overrides it works in runs/NAME, on the code and params as committed.
    """
    _limit_stages(stage_timeout_s)
    started = Path(os.environ.pop(STARTED_VARIABLE, "") or Path.cwd())
    if recipe is not None or settings or name is not None:
        from flows.cloned_run import become_run

        become_run(recipe, settings or [], name, wait_s, say)
    enter_valid_project()
    from rich.console import Console

    from flows.fetching import told
    from flows.server import API_VARIABLE, ensure_api

    own = API_VARIABLE not in os.environ
    say("starting" + (" Prefect's temporary server" if own else ""))
    ensure_api(schedules=False)
    from flows.tables import metrics_table, stages_table
    from flows.terminal import show_own_lines
    from flows.training import training

    show_own_lines()
    try:
        summary = training(wait_s=wait_s)
    except HeadstartError as error:
        sys.exit(error.exit_code)  # the flow has told it in its log
    console = Console()
    console.print(stages_table(summary.stages))
    if summary.metrics:
        console.print(metrics_table(summary.metrics))
    print(f"report: {seen_from(started, REPORT)}\nbundle: {seen_from(started, BUNDLE)}")
    if summary.fetched_objects:
        print(f"fetched from DVC's remote: {told(summary.fetched_objects, summary.fetched_bytes)}")
    print(f"done in {summary.seconds:.0f} s")


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this one.")] = None,
) -> None:
    """List the recipes: named overrides for `headstart run --recipe`."""
    from flows.overrides import find_recipe, recipe_files, recipe_summary

    if name is not None:
        print(find_recipe(name, Path.cwd()).read_text(encoding="utf-8"), end="")
        return
    width = max((len(path.stem) for path in recipe_files()), default=0)
    for path in recipe_files():
        print(f"{path.stem:{width}}  {recipe_summary(path)}")


@app.command()
def runs() -> None:
    """List the runs with overrides, and what each reached first."""
    enter_project()
    from rich.console import Console

    from flows.runs import all_runs, runs_table

    if all_runs():
        Console().print(runs_table())
    else:
        say("no runs yet; `headstart run --set KEY=VALUE` or `--recipe NAME` makes one")


@app.command()
def show(
    name: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="One that `headstart runs` lists.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Show the metrics of the last run."""
    enter_project()
    from rich.console import Console

    from flows.runs import find_run
    from flows.tables import metrics_table, read_metrics

    metrics = read_metrics(find_run(name) / METRICS if name else METRICS)
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
    stage_timeout_s: StageTimeout = None,
) -> None:
    """Run on a schedule until stopped; no server to set up."""
    if sum(given is not None for given in (cron, every, interval)) != 1:
        raise ParametersError("serve: give exactly one of --cron, --every and --interval")
    _limit_stages(stage_timeout_s)
    seconds = _parse_duration_s(every) if every is not None else interval
    enter_valid_project()
    from flows.server import API_VARIABLE, ensure_api

    say("starting")
    page = ensure_api(schedules=True) or os.environ[API_VARIABLE]
    from flows.automations import set_up_automations
    from flows.schedule import serve_training

    set_up_automations()
    say(f"runs on schedule until Ctrl-C; they are shown at {page}")
    serve_training(cron, seconds, wait_s)


app.command()(cli_server.server)
app.command()(cli_sweep.sweep)
app.command()(cli_sweep.adopt)
app.command()(cli_data.inspect)
app.command()(cli_bundle.predict)
app.command()(cli_bundle.enroll)
app.command()(cli_bundle.score)
app.command()(cli_verify.verify)
app.command()(cli_releases.release)
app.command()(cli_releases.releases)
app.command()(cli_releases.rollback)


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
        from tasks.command import WRITE_FAULTS

        if error.filename is None and error.errno not in WRITE_FAULTS:
            raise
        _fail(f"{error.filename or Path.cwd()}: {error.strerror}", 2)


def _limit_stages(timeout_s: float | None) -> None:
    """Tell every stage from here on how long it may take, also those in clones."""
    if timeout_s is not None:
        os.environ[TIMEOUT_VARIABLE] = str(timeout_s)


def _parse_duration_s(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([smhd])", text.strip())
    if not match or int(match[1]) == 0:
        raise ParametersError(f"--every: found {text!r}, needed a number and s, m, h or d: 15m")
    return int(match[1]) * UNITS_S[match[2]]


def _fail(text: str, code: int) -> NoReturn:
    for line in text.splitlines():
        say(line)
    sys.exit(code)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Leave through every `finally`, so that servers and stages are stopped on the way."""
    del frame
    signal.signal(number, signal.SIG_IGN)  # once is enough; a second must not cut the way short
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
