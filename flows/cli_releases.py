"""The commands of released bundles: `headstart release`, `releases` and `rollback`."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.project import enter_project, prepare_environment, seen_from
from flows.saying import say
from tasks.errors import HeadstartError, ParametersError


def release(
    bump: Annotated[
        str, typer.Option(help="Number of the version to raise: major, minor or patch.")
    ] = "minor",
    wait_s: Annotated[
        float,
        typer.Option("--wait-s", min=0, help="Wait so long for another run; 0 fails at once."),
    ] = 3600,
    yes: Annotated[
        bool, typer.Option("--yes", help="Give the approval that release.yaml may require.")
    ] = False,
) -> None:
    """Train what is committed, and release it if it stands up to what is released.

    release.yaml says what it has to reach. A candidate that does not is kept in runs/release, and
    the command ends with 3.
    """
    from flows.releases import BUMPS

    chosen = next((one for one in BUMPS if one == bump), None)
    if chosen is None:
        raise ParametersError(f"--bump: found {bump!r}, needed one of {', '.join(BUMPS)}")
    started = Path.cwd()
    root = enter_project()
    prepare_environment()
    from flows.release_gate import load_gate
    from flows.server import API_VARIABLE, ensure_api

    own = not os.environ.get(API_VARIABLE)
    if load_gate(root).require_approval and own and not yes and not sys.stdin.isatty():
        raise ParametersError(
            "release.yaml asks for approval (require_approval: true), and nobody can give it here; "
            "take a terminal, give --yes, or start the release on a server (`make server`)"
        )
    say("starting" + (" Prefect's temporary server" if own else ""))
    ensure_api(schedules=False)
    from flows.approval import approve_at_once, ask_on_terminal, decide_here
    from flows.release import release as flow
    from flows.terminal import show_own_lines

    if yes or own:
        decide_here(approve_at_once if yes else ask_on_terminal)
    show_own_lines()
    try:
        done = flow(bump=chosen, wait_s=wait_s)
    except HeadstartError as error:
        sys.exit(error.exit_code)  # the flow has told it in its log
    print(f"{done.version}: {'released' if done.fresh else 'in use, nothing new to release'}")
    print(f"bundle: {seen_from(started, done.bundle)}\ndone in {done.seconds:.0f} s")


def releases(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that is recorded, as JSON.")
    ] = False,
) -> None:
    """List the released versions: stage, date, figures."""
    root = enter_project()
    from rich.console import Console

    from flows.releases import all_releases, releases_json, releases_table

    if as_json:
        print(json.dumps(releases_json(root), indent=2))
    elif all_releases(root):
        Console().print(releases_table(root))
    else:
        say("nothing is released yet; `headstart release` does it")


def rollback(
    version: Annotated[
        str | None, typer.Argument(help="One that `headstart releases` lists.")
    ] = None,
    previous: Annotated[
        bool, typer.Option("--previous", help="The one that was in use before.")
    ] = False,
) -> None:
    """Put an older version into use again: its bundle is back in released/bundle, bit for bit.

    In a fresh clone, the version in use gets its bundle there.
    """
    if (version is None) != previous:
        raise ParametersError("rollback: give either a VERSION or --previous")
    started = Path.cwd()
    root = enter_project()
    prepare_environment()
    from flows.placing import IN_USE
    from flows.rollback import roll_back

    done = roll_back(root, version, say)
    print(f"{done.version}: in use\nbundle: {seen_from(started, IN_USE)}")
