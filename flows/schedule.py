"""The flow on a schedule, served from this process."""

import asyncio
import os
import signal
from contextlib import suppress
from datetime import timedelta
from typing import Any

from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from flows.project import KEEPER_VARIABLE
from flows.terminal import show_own_lines
from flows.training import training
from tasks.errors import ParametersError


class PromptRunner(Runner):
    """A runner that, told to stop, also stops the run that is going on.

    Prefect's own would wait for the end of that run, and a training can take longer than whoever
    stops a service is ready to wait.
    """

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """Cancel the run that is going on, and end."""
        del args, kwargs
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the way out is not cut short
        if not self.started:
            raise KeyboardInterrupt
        self.execute_in_background(self.astop)


def serve_training(cron: str | None, interval_s: int | None, wait_s: float) -> None:
    """Register the schedule with Prefect and start its runs, one at a time, until stopped.

    Args:
        cron: when to run; None for `interval_s`.
        interval_s: how often to run; None for `cron`.
        wait_s: how long a run waits for another in the same project.

    Raises:
        ParametersError: `cron` is not a cron expression.
    """
    show_own_lines()
    os.environ[KEEPER_VARIABLE] = str(os.getpid())
    runner = PromptRunner(name="training", limit=1, pause_on_shutdown=True)
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    try:
        runner.add_flow(
            training,
            name="training",
            cron=cron,
            interval=None if interval_s is None else timedelta(seconds=interval_s),
            parameters={"wait_s": wait_s},
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as error:
        if cron is not None and "cron" in str(error).lower():
            raise ParametersError(f"--cron: {cron!r} is not a cron expression") from None
        raise
    with suppress(KeyboardInterrupt):
        asyncio.run(runner.start())
