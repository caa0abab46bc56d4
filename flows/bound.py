"""Runs DVC, a server or this program as a child that ends with whoever started it."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import IO

from flows.project import KEEPER_VARIABLE
from flows.whole_files import let_dvc_write_whole_files
from tasks.lifeline import bind_to_parent

PARENT_VARIABLE = "HEADSTART_PARENT_PID"


def start_bound(
    words: Sequence[str],
    output: int | IO[bytes],
    environment: dict[str, str] | None = None,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `python -m flows.bound WORDS` in a process group of its own.

    A group of its own is killed whole, and a Ctrl-C at the terminal does not reach it: whoever
    started it decides how it ends.

    Args:
        words: `dvc ARGUMENT...`, `fetch ARGUMENT...`, `headstart ARGUMENT...`,
            `prefect ARGUMENT...`, `worker POOL` or
            `server DESCRIPTOR`.
        output: takes standard output and errors.
        environment: further environment variables.
        descriptors: open files that the child inherits.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "flows.bound", *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            **(environment or {}),
            PARENT_VARIABLE: str(os.getpid()),
            "PYTHONUNBUFFERED": "1",
        },
        pass_fds=tuple(descriptors),
        process_group=0,
    )


def main() -> int:
    """Bind to the parent, then become what the arguments say."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    bind_to_parent(int(parent) if parent else None)
    program, *arguments = sys.argv[1:]
    if program == "server":
        return _serve(int(arguments[0]))
    if program == "headstart":
        from flows.cli import main as headstart

        sys.argv = ["headstart", *arguments]
        headstart()
        return 0
    if program == "fetch":
        from flows.fetch_command import main as fetch

        let_dvc_write_whole_files()
        return fetch(arguments)
    if program == "worker":
        # Flow runs that a worker started have nobody to look after them once it is gone.
        os.environ[KEEPER_VARIABLE] = str(os.getpid())
        program, arguments = "prefect", ["worker", "start", "--pool", *arguments]
    if program == "prefect":
        from prefect.cli import app

        sys.argv = ["prefect", *arguments]
        app()
        return 0
    from dvc.cli import main as dvc

    let_dvc_write_whole_files()
    return int(dvc(arguments))


def _serve(descriptor: int) -> int:
    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
