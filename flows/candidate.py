"""The candidate of a release: a run of the committed code and params in `runs/release`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from flows.child_run import run_in_clone
from flows.cloned_run import plan_run
from flows.clones import Plan, git
from flows.comparing import Compared
from flows.data_updates import forget_updates, tracking_files, update_data
from flows.fetching import complete_remote, fetch_outs, has_remote
from flows.releases import RECORD, identity
from flows.repro import run_limited
from tasks.artifacts.contract import MANIFEST
from tasks.artifacts.files import sha256, write_json
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import BUNDLE, PREPARED
from tasks.command import LOCK_FILE
from tasks.errors import DataError, HeadstartError
from tasks.params import PARAMS_FILE

NAME = "release"
FORMAT = 1
Tell = Callable[[str], None]


class CandidateError(HeadstartError):
    """The candidate's run did not reach its end."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text, exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


def train_candidate(root: Path, wait_s: float, tell: Tell) -> Plan:
    """Set the clone up on what is committed, and run it by its own code.

    Args:
        root: of the project.
        wait_s: how long to wait for a run that is going on in the clone.
        tell: is called with every line of the run.

    Returns:
        What the clone is; it holds the candidate.

    Raises:
        DataError: there is nothing that can be cloned.
        ParametersError: the committed params are not valid.
        BusyError: the clone remained busy.
        CandidateError: the run failed; its own lines say why.
    """
    plan = plan_run(root, root, None, [], NAME, tracked=True)
    forget_updates(plan.folder)
    code = run_in_clone(plan, wait_s, tell, before=lambda: _update(plan, tell))
    if code != 0:
        raise CandidateError(f"{plan.folder}: the candidate's run failed; see above", code)
    with chdir(plan.folder):
        # Where nothing changed, the run itself needs neither.
        missing = [str(out) for out in (PREPARED, BUNDLE) if not out.exists()]
        if missing and not fetch_outs(missing, tell):
            raise DataError(f"{missing[0]}: neither in DVC's cache nor in its remote")
    return plan


def _update(plan: Plan, tell: Tell) -> None:
    if updated := update_data(plan.folder, tell):
        tell(f"data that changed at its source: {', '.join(map(str, updated))}")


def bundle_hash(bundle: Path) -> str:
    """SHA-256 of a bundle's manifest, which holds that of every other file.

    Raises:
        DataError: there is no bundle.
    """
    try:
        return sha256(bundle / MANIFEST)
    except FileNotFoundError:
        raise DataError(f"{bundle / MANIFEST}: not found; the pipeline has to make it") from None


def describe(
    plan: Plan, version: str, against: str | None, found: Sequence[Compared]
) -> dict[str, Any]:
    """The record of a release, as `release.json` holds it.

    Args:
        plan: of the clone.
        version: that the candidate is to have.
        against: the version that it was compared with; None for the first.
        found: the comparison.
    """
    parts: Mapping[str, Any] = ImageStore(plan.folder / PREPARED).manifest["parts"]
    return {
        "format": FORMAT,
        "version": version,
        "compared_with": against,
        "commit": plan.commit,
        "bundle_sha256": bundle_hash(plan.folder / BUNDLE),
        "figures": {one.key: _figures(one) for one in found},
        "data": {
            name: {"images": part["images"], "classes": len(part["classes"])}
            for name, part in parts.items()
        },
    }


def commit_candidate(plan: Plan, record: Mapping[str, Any]) -> str:
    """Commit record, params and dvc.lock on top of the code, in the clone; then copy it here.

    The commit is on no branch: a tag is what keeps it, and no branch of anybody moves.

    Args:
        plan: of the clone.
        record: what `release.json` is to hold.

    Returns:
        The commit, which both the clone and the project hold.

    Raises:
        DataError: git fails.
    """
    write_json(plan.folder / RECORD, record)
    name, email = identity(plan.root)
    git(plan.folder, "config", "user.name", name)
    git(plan.folder, "config", "user.email", email)
    kept = (RECORD, LOCK_FILE, PARAMS_FILE, *tracking_files(plan.folder))
    git(plan.folder, "add", "--force", "--", *map(str, kept))
    words = ("--quiet", "--no-verify", "--no-gpg-sign", "--message")
    git(plan.folder, "commit", *words, f"Release {record['version']}")
    git(plan.root, "fetch", "--quiet", "--no-tags", str(plan.folder), "HEAD")
    return git(plan.folder, "rev-parse", "HEAD").strip()


def push_data(plan: Plan, tell: Tell) -> bool:
    """Push what the candidate's stages read and made, and which runs made it, to DVC's remote.

    What it then holds is looked at again: a tag must not name what is not there.

    Returns:
        False where no remote is configured.

    Raises:
        DataError: the push failed; what arrived is of use all the same.
        StageFailedError: it took longer than a stage may.
    """
    if not has_remote(plan.folder):
        return False
    with chdir(plan.folder):
        code, tail = run_limited("push", ("dvc", "push", "--run-cache"), tell)
    if code != 0:
        said = [line.removeprefix("ERROR: ") for line in tail if line.startswith("ERROR")]
        raise DataError(
            f"DVC's remote took not all of the candidate: {' '.join(said[:1] or tail[-1:])}; "
            "nothing was tagged. Check the remote and release again: no stage runs anew"
        )
    with chdir(plan.folder):
        complete_remote(tell)
    return True


def _figures(one: Compared) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": one.name,
        "domain": one.domain,
        "episodes": one.episodes,
        "accuracy": one.candidate.mean,
        "interval95": one.candidate.interval95,
    }
    if one.released and one.difference:
        told |= {
            "released_accuracy": one.released.mean,
            "difference": one.difference.mean,
            "difference_interval95": one.difference.interval95,
        }
    return told
