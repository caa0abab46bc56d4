"""The flow `release`: train, compare, gate, push, register, place; each only if all before held."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from flows import releases
from flows.candidate import (
    bundle_hash,
    commit_candidate,
    describe,
    push_data,
    train_candidate,
)
from flows.clones import Plan
from flows.comparing import compare, learned_before
from flows.notifying import notify, notify_of_end
from flows.placing import IN_USE, place
from flows.project import end_with_keeper, enter_project, prepare_environment
from flows.release_gate import RefusedError, load_gate, unmet
from flows.release_summary import SUMMARY, figure_rows, summary
from flows.releases import Bump, Release
from flows.rollback import changing_releases, sender
from flows.terminal import end_bars, show_own_lines
from tasks.artifacts.layout import BUNDLE
from tasks.artifacts.verification import verify
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
        DataError: git, DVC or its remote failed; nothing was tagged.
    """
    end_with_keeper()
    prepare_environment()
    show_own_lines()
    logger = get_run_logger()
    started = time.monotonic()
    try:
        root = enter_project()
        with hold_run(f"flow run {flow_run.name or 'release'}", wait_s, logger.info):
            version, fresh = _release(root, bump, wait_s, logger.info)
    except HeadstartError as error:
        logger.error("%s", error)
        raise
    finally:
        end_bars()
    return ReleaseSummary(version, fresh, root / IN_USE, time.monotonic() - started)


def _release(root: Path, bump: Bump, wait_s: float, tell: Tell) -> tuple[str, bool]:
    in_use = releases.release_in_use(root)
    released = place(root, in_use, tell) if in_use else None
    plan = train_candidate(root, wait_s, tell)
    if in_use and _is_known(plan, in_use):
        tell(f"{in_use.version}: nothing changed; it stays in use")
        return in_use.version, False
    gate = load_gate(plan.folder)
    tell("comparing with what is released" if in_use else "measuring the first candidate")
    found = compare(plan.folder, released)
    version = releases.next_version(root, bump)
    record = describe(plan, version, in_use.version if in_use else None, found)
    reasons = [*_unsound(plan), *unmet(gate, found), *_rolled_back(plan)]
    _tell_summary(plan, record, in_use, reasons, _notes(plan, released))
    if reasons:
        told = "\n".join(reasons)
        stays = f"{in_use.version} stays in use" if in_use else "nothing is released"
        raise RefusedError(
            f"{told}\nrefused: {stays}; the candidate is kept in {plan.folder.relative_to(root)}, "
            f"and what was found of it in {SUMMARY} there"
        )
    commit = commit_candidate(plan, record)
    if gate.push and not push_data(plan, tell):
        tell("no default remote of DVC is configured: the bundle is in the cache here alone")
    with changing_releases(root):
        _check_unmoved(root, in_use)
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


def _is_known(plan: Plan, other: Release) -> bool:
    known = releases.read_record(plan.root, other)["bundle_sha256"]
    return bool(known == bundle_hash(plan.folder / BUNDLE))


def _rolled_back(plan: Plan) -> list[str]:
    """A schedule must not bring back what a person took out of use."""
    return [
        f"the same bundle as {one.version}, which is no longer in use; "
        f"`headstart rollback {one.version}` brings it back"
        for one in releases.all_releases(plan.root)
        if not one.in_use and _is_known(plan, one)
    ]


def _unsound(plan: Plan) -> list[str]:
    found = verify(plan.folder / BUNDLE)
    return [f"the bundle is not sound: {check.line}" for check in found.failed]


def _notes(plan: Plan, released: Path | None) -> list[str]:
    known = learned_before(plan.folder, released) if released else []
    if not known:
        return []
    return [
        f"the released model was trained on {len(known)} of the classes that both are measured "
        f"on, such as {known[0]}, which is in its favour"
    ]


def _tell_summary(
    plan: Plan,
    record: dict[str, Any],
    in_use: Release | None,
    reasons: Sequence[str],
    notes: Sequence[str],
) -> None:
    text = summary(plan, record, in_use, reasons, notes)
    (plan.folder / SUMMARY).write_text(text, encoding="utf-8")
    create_markdown_artifact(key="release-summary", markdown=text)
    create_table_artifact(
        key="release-figures",
        table=figure_rows(record),
        description="The candidate and the released model on the same episodes",
    )
