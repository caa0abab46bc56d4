"""The flow `release`: train, compare, gate, push, register, place; each only if all before held."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows import releases
from flows.approval import Approval, ask_for_approval
from flows.candidate import commit_candidate, push_data
from flows.credentials import check_no_credentials
from flows.notifying import notify, notify_of_end
from flows.placing import IN_USE, place
from flows.project import end_with_keeper, enter_project, prepare_environment
from flows.release_gate import RefusedError
from flows.releases import Bump, Release
from flows.rollback import changing_releases, sender
from flows.terminal import end_bars, show_own_lines
from flows.weighing import Candidate, check_same, make_candidate
from tasks.errors import BusyError, HeadstartError
from tasks.run_lock import hold_run

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ReleaseSummary:
    """What one run of the flow did.

    Attributes:
        version: in use now.
        fresh: whether this run released it.
        bundle: where it lies.
        seconds: that the run took.
    """

    version: str
    fresh: bool
    bundle: Path
    seconds: float


@flow(name="release", persist_result=False, on_failure=[notify_of_end])
def release(bump: Bump = "minor", wait_s: float = 3600) -> ReleaseSummary:
    """Train what is committed, and release it if it stands up to what is released.

    Args:
        bump: which number of the version goes up.
        wait_s: how long to wait for another run in the same project; 0 fails at once.

    Raises:
        RefusedError: the candidate did not pass; it stays in runs/release, the old one in use.
        CandidateError: its training failed.
        BusyError: another run went on for longer than `wait_s`.
        DataError: git, DVC, its remote or the source of data failed; nothing was tagged.
        ParametersError: params are not valid, or DVC's committed settings hold credentials.
    """
    end_with_keeper()
    prepare_environment()
    show_own_lines()
    logger = get_run_logger()
    started = time.monotonic()
    try:
        root = enter_project()
        check_no_credentials(root)
        version, fresh = _release(root, bump, wait_s, logger.info)
    except HeadstartError as error:
        logger.error("%s", error)
        raise
    finally:
        end_bars()
    return ReleaseSummary(version, fresh, root / IN_USE, time.monotonic() - started)


def _release(root: Path, bump: Bump, wait_s: float, tell: Tell) -> tuple[str, bool]:
    name = f"flow run {flow_run.name or 'release'}"
    with hold_run(name, wait_s, tell):
        in_use = releases.release_in_use(root)
        candidate = make_candidate(root, in_use, bump, wait_s, tell)
        if candidate is None:
            assert in_use is not None  # there is something to be equal to
            tell(f"{in_use.version}: nothing changed; it stays in use")
            return in_use.version, False
        if not candidate.gate.require_approval:
            candidate.tell("released")
            return _publish(candidate, tell)
    # A person may take hours, and the next training is not to wait for that.
    approval = _ask(candidate, tell)
    with hold_run(name, wait_s, tell):
        check_same(candidate)
        candidate.record["approval"] = approval.model_dump(include={"by", "comment"})
        candidate.tell("released", approval.words)
        return _publish(candidate, tell)


def _ask(candidate: Candidate, tell: Tell) -> Approval:
    text = candidate.tell("waits for approval")
    seconds = candidate.gate.approval_timeout_s
    try:
        approval = ask_for_approval(candidate.version, text, seconds, tell)
    except RefusedError as error:
        raise candidate.refused(str(error)) from None
    if approval.decision == "reject":
        raise candidate.refused(f"{candidate.version}: {approval.words}")
    tell(f"{candidate.version}: {approval.words}")
    return approval


def _publish(candidate: Candidate, tell: Tell) -> tuple[str, bool]:
    plan, gate, version = candidate.plan, candidate.gate, candidate.version
    root = plan.root
    commit = commit_candidate(plan, candidate.record)
    if gate.push and not push_data(plan, tell):
        tell("no default remote of DVC is configured: the bundle is in the cache here alone")
    with changing_releases(root):
        _check_unmoved(root, candidate.in_use)
        releases.register(root, commit, version, sender(root, gate))
        place(root, releases.find_release(root, version), tell)
    tell(f"{version}: released")
    notify("released", f"headstart: {version} released", flow="release", version=version)
    return version, True


def _check_unmoved(root: Path, before: Release | None) -> None:
    now = releases.release_in_use(root)
    if (now and now.version) != (before and before.version):
        raise BusyError(
            f"found {now.version if now else 'nothing'} in use, needed "
            f"{before.version if before else 'nothing'}, with which the candidate was compared: "
            "another command changed it meanwhile; release again"
        )
