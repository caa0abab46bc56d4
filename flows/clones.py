"""Clones of the committed code: params of their own, DVC's cache shared with the main checkout."""

import os
import subprocess
from collections.abc import Callable, Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from flows.credentials import masking
from flows.project import STATE_FOLDER
from flows.runs import Note, read_note, stands_on, write_note
from tasks.artifacts.files import complete_folder
from tasks.command import LOCK_FILE as PIPELINE_LOCK
from tasks.errors import DataError
from tasks.inputs import PIPELINE_FILE, declared_stages
from tasks.params import PARAMS_FILE
from tasks.run_lock import hold_run

DVC_FOLDER = Path(".dvc")
# They would send git to another repository than the one named; git sets them for its hooks.
MISLEADING = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}


@dataclass(frozen=True)
class Plan:
    """What a clone is to be: everything in it has been checked, and nothing was touched yet.

    Attributes:
        root: of the main checkout.
        folder: of the clone.
        commit: of the code.
        params_text: of its `params.yaml`.
        note: says what was asked for.
    """

    root: Path
    folder: Path
    commit: str
    params_text: str
    note: Note


def head_commit(root: Path) -> str:
    """The commit that the main checkout stands on.

    Raises:
        DataError: no repository, or nothing committed.
    """
    if not (root / ".git").exists():
        raise DataError(
            f"{root}: no git repository begins here, and a run with overrides works in a clone of "
            "what is committed; `git init` and a commit make one"
        )
    try:
        return git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()
    except DataError:
        raise DataError(
            f"{root}: nothing is committed yet, and a run with overrides works in a clone of what "
            "is; commit first"
        ) from None


def committed_text(root: Path, commit: str, path: Path) -> str:
    """The text of a file as committed.

    Raises:
        DataError: the commit does not hold it.
    """
    if not is_committed(root, commit, path):
        raise DataError(f"{path}: not in commit {commit[:7]}; commit it first")
    return git(root, "show", f"{commit}:{path.as_posix()}")


def is_committed(root: Path, commit: str, path: Path) -> bool:
    """Whether the commit holds a file or folder at a path relative to the root."""
    return bool(git(root, "ls-tree", commit, "--", str(path)).strip())


def is_committed_whole(root: Path, commit: str, path: Path) -> bool:
    """Whether a clone of the commit holds at a path just what stands there now.

    Ignored files, links and submodules below it say no.
    """
    listed = git(root, "ls-tree", "-r", "-z", commit, "--", str(path)).split("\0")
    files = [entry for entry in listed if entry]
    if not files or not all(entry.startswith("100") for entry in files):
        return False
    words = ("--porcelain", "--ignored", "--untracked-files=normal", "--", f":(literal){path}")
    return not git(root, "status", *words).strip()


def uncommitted(folder: Path) -> list[str]:
    """Tracked files that differ from the commit, less what stages and DVC write."""
    names = git(folder, "diff", "--name-only", "-z", "HEAD").split("\0")
    return _not_written(folder, names)


def untracked(folder: Path) -> list[str]:
    """Files that git neither holds nor ignores, less what stages and DVC write."""
    names = git(folder, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    return _not_written(folder, names)


def _not_written(folder: Path, names: Iterable[str]) -> list[str]:
    stages = declared_stages(folder / PIPELINE_FILE).values()
    written = [str(PIPELINE_LOCK), *(out for stage in stages for out in stage.outs)]
    return [
        name
        for name in filter(None, names)
        if not any(Path(name).is_relative_to(one) for one in written)
    ]


def set_up_clone(plan: Plan, wait_s: float, tell: Callable[[str], None]) -> str:
    """Make the clone, or bring the one that is there to what was planned.

    A new one appears whole or not at all. One that is there keeps its outputs and its dvc.lock,
    and is touched only while its run lock is held.

    Args:
        plan: what it is to be.
        wait_s: how long to wait for a run that is going on in it.
        tell: is called with a line that says for whom this waits.

    Returns:
        What was done, in words.

    Raises:
        BusyError: a run in it went on for longer than `wait_s`.
        DataError: it cannot be cloned, or what is there is no clone or was edited.
    """
    if _make(plan):
        return f"cloned from commit {plan.commit[:7]}"
    if read_note(plan.folder) is None or not (plan.folder / ".git").exists():
        raise DataError(f"{plan.folder}: no run of headstart; remove it, or give another --name")
    with chdir(plan.folder), hold_run(f"setting up {plan.folder.name}", wait_s, tell):
        return _bring_up(plan)


def git(folder: Path, *words: str) -> str:
    """What git says about the repository that begins in `folder`, never about one above it.

    Raises:
        DataError: git is missing or fails.
    """
    place = ["--git-dir", str(folder / ".git"), "--work-tree", str(folder)]
    return _git(place, *words, cwd=folder)


def _git(place: list[str], *words: str, cwd: Path) -> str:
    try:
        done = subprocess.run(
            ["git", *place, *words],
            cwd=cwd,
            env={name: value for name, value in os.environ.items() if name not in MISLEADING},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        raise DataError(
            "git: not found, and a run with overrides works in a clone; install git"
        ) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise DataError(masking(cwd)(f"{cwd}: git {words[0]}: {said}"))
    return done.stdout


def _make(plan: Plan) -> bool:
    """Make the clone where there is none; False where there is one."""
    state = plan.root / STATE_FOLDER
    state.mkdir(exist_ok=True)
    with FileLock(state / "clones.lock"):  # for a second or so; two of a name must not meet here
        if plan.folder.exists():
            return False
        with complete_folder(plan.folder) as partial:
            clone_at(plan.root, partial, plan.commit)
            _furnish(plan, partial)
    return True


def clone_at(root: Path, folder: Path, commit: str) -> None:
    """Clone a commit, with the way to the cache and the remotes of the main checkout.

    Args:
        root: of the main checkout.
        folder: exists and is empty.
        commit: to stand on.

    Raises:
        DataError: git fails, or the commit holds no pipeline.
    """
    # From a path, git links objects or copies them: `git gc` there takes nothing from here.
    words = ("clone", "--quiet", "--no-checkout", "--", str(root), str(folder))
    _git([], *words, cwd=root)
    git(folder, "checkout", "--quiet", "--detach", commit)
    for needed in (DVC_FOLDER, PIPELINE_FILE):
        if not (folder / needed).exists():
            raise DataError(f"{needed}: not in commit {commit[:7]}; commit it first")
    _share_cache(root, folder)


def _bring_up(plan: Plan) -> str:
    edited = [name for name in uncommitted(plan.folder) if name != str(PARAMS_FILE)]
    if edited:
        raise DataError(
            f"{plan.folder / edited[0]}: edited there, and a run with overrides takes its code "
            "from commits; move the edit into the project, or give another --name"
        )
    done = f"at commit {plan.commit[:7]}"
    if stands_on(plan.folder) != plan.commit:
        done = f"brought to commit {plan.commit[:7]}"
        git(plan.folder, "fetch", "--quiet", str(plan.root), "HEAD")
        record = plan.folder / PIPELINE_LOCK
        kept = record.read_bytes() if record.exists() else None
        git(plan.folder, "checkout", "--quiet", "--force", "--detach", plan.commit)
        # The clone's own record still tells which of its outputs are up to date.
        if kept is not None:
            record.write_bytes(kept)
    elif (plan.folder / PARAMS_FILE).read_text(encoding="utf-8") != plan.params_text:
        done += ", with other params than before"
    _furnish(plan, plan.folder)
    return done


def _furnish(plan: Plan, folder: Path) -> None:
    """Give a clone its params, its way to the cache, and its note."""
    fresh = folder / STATE_FOLDER / "params.yaml"
    fresh.parent.mkdir(exist_ok=True)
    fresh.write_text(plan.params_text, encoding="utf-8")
    fresh.replace(folder / PARAMS_FILE)
    _share_cache(plan.root, folder)
    write_note(folder, plan.note)


def _share_cache(root: Path, folder: Path) -> None:
    """Have DVC in the clone use the cache, and the local settings, of the main checkout."""
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        theirs = Config(str(root / DVC_FOLDER))
        with Config(str(folder / DVC_FOLDER)).edit("local") as local:
            local.update(theirs.load_one("local"))
            local["cache"]["dir"] = str(theirs["cache"].get("dir") or root / DVC_FOLDER / "cache")
            for name, remote in theirs["remote"].items():
                # A path in the committed settings is relative to where they stand.
                if "url" in remote:
                    local["remote"].setdefault(name, {})["url"] = str(remote["url"])
    except DvcException as error:
        raise DataError(f"{root / DVC_FOLDER}: {error}") from None
