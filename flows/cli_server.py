"""The command `headstart server`."""

import signal
from typing import Annotated

import typer

from flows.project import enter_valid_project
from flows.saying import say


def server(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the server; 0 takes a free one.")
    ] = 4200,
) -> None:
    """Start Prefect's server, deploy what prefect.yaml names, and work on it until Ctrl-C.

    Where PREFECT_API_URL names a server, that one is used.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a script started this
    enter_valid_project()
    from flows.server import ensure_api

    say("starting Prefect's server, its deployments and a worker")
    page = ensure_api(schedules=True, port=port)
    from flows.pool import work_on_pool

    work_on_pool(page, say)
