"""Makes the candidate of a release, weighs it, and tells of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows import releases
from flows.candidate import bundle_hash, describe, train_candidate
from flows.clones import Plan
from flows.comparing import compare, learned_before
from flows.placing import place
from flows.release_gate import Gate, RefusedError, load_gate, unmet
from flows.release_summary import SUMMARY, figure_rows, summary
from flows.releases import Bump, Release
from flows.runs import fingerprint, stands_on
from tasks.artifacts.layout import BUNDLE
from tasks.artifacts.verification import verify
from tasks.errors import BusyError
from tasks.params import PARAMS_FILE

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """What was trained, and what it was held against.

    Attributes:
        plan: of its clone.
        record: as `release.json` is to hold it.
        in_use: what is released; None for the first.
        gate: that it has to pass.
        notes: what else a reader of the summary has to know.
    """

    plan: Plan
    record: dict[str, Any]
    in_use: Release | None
    gate: Gate
    notes: list[str]

    @property
    def version(self) -> str:
        """That it is to have."""
        return str(self.record["version"])

    def tell(self, verdict: str, *points: str) -> str:
        """Leave the summary with Prefect and in the clone; its text."""
        told = (*points, *self.notes)
        text = summary(self.plan, self.record, self.in_use, verdict, told)
        (self.plan.folder / SUMMARY).write_text(text, encoding="utf-8")
        create_markdown_artifact(key="release-summary", markdown=text)
        create_table_artifact(
            key="release-figures",
            table=figure_rows(self.record),
            description="The candidate and the released model on the same episodes",
        )
        return text

    def refused(self, *reasons: str) -> RefusedError:
        """What says that it stays where it is."""
        self.tell("refused", *(f"**{reason}**" for reason in reasons))
        stays = f"{self.in_use.version} stays in use" if self.in_use else "nothing is released"
        kept = self.plan.folder.relative_to(self.plan.root)
        return RefusedError(
            "\n".join(reasons) + f"\nrefused: {stays}; the candidate is kept in {kept}, "
            f"and what was found of it in {SUMMARY} there"
        )


def make_candidate(
    root: Path, in_use: Release | None, bump: Bump, wait_s: float, tell: Tell
) -> Candidate | None:
    """Train a candidate that passes the gate; the run lock is held.

    Args:
        root: of the project.
        in_use: what is released.
        bump: which number of the version goes up.
        wait_s: how long to wait for another run in its clone.
        tell: is called with lines for people.

    Returns:
        The candidate; None where it is what is released already.

    Raises:
        RefusedError: it did not pass.
        CandidateError: its training failed.
        DataError: there is nothing that can be cloned, or what is released cannot be placed.
    """
    released = place(root, in_use, tell) if in_use else None
    plan = train_candidate(root, wait_s, tell)
    if in_use and _is_known(plan, in_use):
        return None
    gate = load_gate(plan.folder)
    tell("comparing with what is released" if in_use else "measuring the first candidate")
    found = compare(plan.folder, released)
    version = releases.next_version(root, bump)
    record = describe(plan, version, in_use.version if in_use else None, found)
    candidate = Candidate(plan, record, in_use, gate, _notes(plan, released))
    if reasons := [*_unsound(plan), *unmet(gate, found), *_rolled_back(plan)]:
        raise candidate.refused(*reasons)
    return candidate


def check_same(candidate: Candidate) -> None:
    """Check that what is to be released is what was approved; nothing held it meanwhile.

    Raises:
        BusyError: another run replaced it.
        RefusedError: it is no longer sound.
    """
    plan = candidate.plan
    stands = fingerprint(
        stands_on(plan.folder), (plan.folder / PARAMS_FILE).read_text(encoding="utf-8")
    )
    same = bundle_hash(plan.folder / BUNDLE) == candidate.record["bundle_sha256"]
    if not same or stands != fingerprint(plan.commit, plan.params_text):
        raise BusyError(
            f"{candidate.version}: another run replaced the candidate while it waited for "
            "approval; release again"
        )
    if faults := _unsound(plan):
        raise candidate.refused(*faults)


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
