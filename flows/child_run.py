"""A plain `headstart run` in a clone, as a child of a running flow."""

import time
from collections.abc import Callable
from contextlib import chdir

from flows.clones import Plan, set_up_clone
from flows.notifying import MUTED
from flows.repro import run_bound
from flows.runs import clone_environment

Tell = Callable[[str], None]


def run_in_clone(
    plan: Plan, wait_s: float, tell: Tell, before: Callable[[], None] = lambda: None
) -> int:
    """Set a clone up, and run it by its own code; whoever called tells of its end.

    Args:
        plan: of the clone.
        wait_s: how long to wait, in all, for a run that is going on in it.
        tell: is called with every line of the run.
        before: is called when the clone is set up.

    Returns:
        The exit code of the run.

    Raises:
        DataError: the clone cannot be made, or was edited.
        BusyError: it is busy, and remained so for `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    tell(f"{plan.folder.relative_to(plan.root)}: {set_up_clone(plan, wait_s, tell)}")
    before()
    environment = clone_environment(plan.folder, plan.commit, plan.params_text)
    left_s = max(deadline - time.monotonic(), 0)
    with chdir(plan.folder):
        words = ("headstart", "run", "--wait-s", f"{left_s:.1f}")
        code, _ = run_bound(words, tell, environment | MUTED | {"COLUMNS": "100"})
    return abs(code)
