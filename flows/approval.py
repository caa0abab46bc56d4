"""A person's word on a candidate: in Prefect's pages while the flow is paused, or on a terminal."""

from collections.abc import Callable
from typing import Any, Literal

from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from flows.notifying import notify
from flows.release_gate import RELEASE_FILE, RefusedError
from flows.release_picture import without_pictures

ASK_EVERY_S = 5
Tell = Callable[[str], None]


class Approval(RunInput):
    """What a person says of a candidate."""

    decision: Literal["approve", "reject"] = Field(
        description="approve releases it; reject keeps it in runs/release and ends the run"
    )
    by: str = Field(default="", description="who decides")
    comment: str = Field(default="", description="goes into the record of the release")

    @property
    def words(self) -> str:
        """Decision, person and comment in one line."""
        done = "approved" if self.decision == "approve" else "rejected"
        by = f" by {self.by}" if self.by else ""
        return f"{done}{by}" + (f": {self.comment}" if self.comment else "")


Decide = Callable[[str, str], Approval]
_deciders: list[Decide] = []


def decide_here(decide: Decide) -> None:
    """Have this process ask `decide` (version, summary), in place of pausing the flow."""
    _deciders[:] = [decide]


def approve_at_once(version: str, summary: str) -> Approval:
    """The word that was given on the command line."""
    del version, summary
    return Approval(decision="approve", by="--yes")


def ask_on_terminal(version: str, summary: str) -> Approval:
    """Show the summary, and ask; anything but yes rejects."""
    from rich.console import Console
    from rich.prompt import Confirm

    console = Console(stderr=True)
    console.print(without_pictures(summary), markup=False, highlight=False)
    agreed = Confirm.ask(f"Release {version}?", default=False, console=console)
    return Approval(decision="approve" if agreed else "reject", by="the terminal")


def ask_for_approval(version: str, summary: str, timeout_s: int, tell: Tell) -> Approval:
    """Have a person decide, who sees the summary first.

    Args:
        version: that the candidate is to have.
        summary: in Markdown.
        timeout_s: how long to wait.
        tell: is called with lines for people.

    Raises:
        RefusedError: nobody answered in time.
    """
    if _deciders:
        return _deciders[0](version, summary)
    waits = f"{version} waits for approval, at most {timeout_s} s: resume this run with an answer"
    tell(waits)
    name = str(flow_run.name or "")
    notify("waiting", f"headstart: release {name}: {waits}", flow="release", run=name)
    asked: Any = Approval.with_initial_data(description=without_pictures(summary))
    try:
        answer = pause_flow_run(asked, timeout=timeout_s, poll_interval=min(ASK_EVERY_S, timeout_s))
    except FlowPauseTimeout:
        raise RefusedError(
            f"{version}: nobody approved within {timeout_s} s ({RELEASE_FILE}: approval_timeout_s)"
        ) from None
    return Approval.model_validate(answer.model_dump())
