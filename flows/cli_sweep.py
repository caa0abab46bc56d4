"""The commands `headstart sweep` and `headstart adopt`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.project import enter_project, prepare_environment, seen_from
from flows.saying import say
from tasks.errors import HeadstartError


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to try.")] = Path("sweep.yaml"),
    wait_s: Annotated[
        float, typer.Option("--wait-s", min=0, help="Wait so long for another run of a trial.")
    ] = 3600,
) -> None:
    """Try overrides, each in a clone under runs/; the same command again goes on.

    Stages that no override touches come from DVC's cache.
    """
    here = Path.cwd()
    root = enter_project()
    from flows.sweep_plan import plan_sweep

    plan = plan_sweep(root, here / file)
    prepare_environment()
    from rich.console import Console

    from flows.server import API_VARIABLE, ensure_api

    own = API_VARIABLE not in os.environ
    say("starting" + (" Prefect's temporary server" if own else ""))
    ensure_api(schedules=False)
    from flows.sweep import SweepFailedError
    from flows.sweep import sweep as run_sweep
    from flows.sweep_page import PAGE, RESULTS
    from flows.sweep_results import sweep_table
    from flows.terminal import show_own_lines

    show_own_lines()
    code = 0
    try:
        summary = run_sweep(file=str(here / file), wait_s=wait_s)
    except SweepFailedError as error:
        summary, code = error.summary, error.exit_code
    except HeadstartError as error:
        sys.exit(error.exit_code)  # the flow has told it in its log
    Console().print(sweep_table(summary))
    print(f"results: {seen_from(here, RESULTS / plan.name / PAGE)}")
    if summary.ranked:
        print(f"best: {summary.ranked[0].name}; `headstart adopt NAME` takes params over")
    sys.exit(code)


def adopt(
    name: Annotated[str, typer.Argument(metavar="TRIAL", help="A run of `headstart runs`.")],
    wait_s: Annotated[
        float, typer.Option("--wait-s", min=0, help="Wait so long for a run; 0 fails at once.")
    ] = 0,
) -> None:
    """Write what a trial overrides into params.yaml; the next run finds its stages in the cache."""
    root = enter_project()
    from flows.adopting import adopt_run
    from tasks.run_lock import hold_run

    with hold_run(f"headstart adopt {name}", wait_s, say):
        adoption = adopt_run(name, root)
    for key, value in adoption.written.items():
        print(f"{key}: {value}")
    if not adoption.written:
        say(f"{name} overrides nothing that the committed params do not say")
    if adoption.others:
        say(f"params.yaml has its own {', '.join(adoption.others)}: not as {name} was run")
