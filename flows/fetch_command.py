"""The child that talks to DVC's remote: `flows.fetching` starts it, `flows.bound` is its frame.

A process of its own, as a remote may hang, crash or leave threads behind, and as DVC's lock is to
end with it. Its verdict goes to a file; what it prints is for people.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.remote_objects import RemoteError, RemoteObjects, said

STAGE, OUTS, COMPLETE = "stage", "outs", "complete"


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say: `VERDICT stage NAME`, `VERDICT outs PATH...` or `... complete`.

    `stage` has all here that the stage needs if it is to run; `outs` has these outputs in place,
    after a look at what the cache holds of them; `complete` has the remote hold every output.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    verdict, verb, *names = arguments
    started = time.monotonic()
    try:
        with Repo() as repo, lock_repo(repo):
            objects = RemoteObjects(repo, _say)
            if verb == STAGE:
                found = _for_stage(repo, objects, names[0])
            elif verb == OUTS:
                found = _for_outs(repo, objects, names)
            else:
                found = {"completed": objects.complete(_all_outs(repo))}
    except RemoteError as error:
        _say(f"ERROR: {error}")
        return RemoteError.exit_code
    except (DvcException, OSError) as error:
        _say(f"ERROR: {said(error)}")
        return 255
    found |= {
        "objects": objects.fetched.objects,
        "bytes": objects.fetched.bytes,
        "seconds": time.monotonic() - started,
    }
    Path(verdict).write_text(json.dumps(found), encoding="utf-8")
    return 0


def _for_stage(repo: Any, objects: RemoteObjects, name: str) -> dict[str, Any]:
    """Have here what a stage needs to run, if it has to; else what the cache holds of it."""
    (stage,) = repo.stage.collect(name)
    makers = list(repo.index.graph.successors(stage))
    # Only DVC's whole graph compares the hashes of what is not here; one stage alone does not.
    if not stage.changed(True, makers):
        gone = [out for out in stage.outs if not out.exists]
        restored = bool(gone) and all(objects.is_cached(out) for out in gone)
        if restored:
            stage.checkout(force=True)
        return {"changed": False, "restored": restored, "lacking": []}
    missing = [dep for dep in stage.deps if dep.protocol == "local" and not dep.exists]
    lacking = _lacking(objects, _holding(repo, missing))
    if not lacking:
        _bring_results(repo, objects, stage)
    return {"changed": True, "restored": False, "lacking": lacking}


def _for_outs(repo: Any, objects: RemoteObjects, paths: Sequence[str]) -> dict[str, Any]:
    outs = [out for path in paths for out in repo.find_outs_by_path(str(Path(path).absolute()))]
    return {"lacking": _lacking(objects, outs, check_cached=True)}


def _lacking(objects: RemoteObjects, outs: Sequence[Any], check_cached: bool = False) -> list[str]:
    """Have outputs in place; the stages of those that are nowhere."""
    lacking = []
    for out in outs:
        if objects.bring(out, check_cached):
            out.checkout(force=True)
        elif out.stage.cmd:
            lacking.append(out.stage.addressing)
        else:
            raise RemoteError(
                f"{out}: tracked by {out.stage.addressing}, and neither in DVC's cache nor in its "
                "remote; `dvc push` from a checkout that has it"
            )
    return list(dict.fromkeys(lacking))


def _holding(repo: Any, deps: Sequence[Any]) -> list[Any]:
    """The outputs that are, hold or lie in these dependencies."""
    from dvc.exceptions import OutputNotFoundError

    found: dict[str, Any] = {}
    for dep in deps:
        try:
            outs = repo.find_outs_by_path(dep.fs_path, strict=False, recursive=True)
        except OutputNotFoundError:
            continue  # a source file; the stage itself tells that it is missing
        found |= {out.fs_path: out for out in outs if not out.exists}
    return list(found.values())


def _bring_results(repo: Any, objects: RemoteObjects, stage: Any) -> None:
    """Have the results in the cache of a run of the stage as it stands, if anybody made one."""
    from flows.remote_runs import RemoteRuns

    runs = RemoteRuns(repo, objects, _say)
    try:
        for out in runs.outs(stage):
            if not objects.bring(out):
                return
    except RemoteError as error:
        _say(f"{error}; the stage runs instead")


def _all_outs(repo: Any) -> list[Any]:
    return [
        out
        for out in repo.index.outs
        if out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import
    ]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
