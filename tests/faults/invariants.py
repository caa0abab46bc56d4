"""What must hold after every fault, each looked at and none believed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from filelock import FileLock, Timeout

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.golden import read_golden
from tests.faults.project import MARK, Clean, FaultProject, hashes


@dataclass(frozen=True)
class Released:
    """All that a release consists of, as it stood when it was made.

    Attributes:
        files: SHA-256 of the placed bundle, of DVC's objects here and in the remote.
        tags: of git, with what they name.
        link: what `released/bundle` names.
        objects: the names of the cache's objects.
        size_bytes: of all files.
    """

    files: dict[str, str]
    tags: str
    link: str
    objects: frozenset[str]
    size_bytes: int


def take_released(project: FaultProject) -> Released:
    """Take down the release that is in use."""
    entries = yaml.safe_load(project.git("show", "bundle@v0.1.0:dvc.lock"))["stages"]
    objects = frozenset(project.objects(entries))
    files = _released_files(project, objects)
    size = sum((project.folder / name).stat().st_size for name in files)
    link = str((project.root / "released" / "bundle").readlink())
    return Released(files, _tags(project), link, objects, size)


def lost_release(project: FaultProject, released: Released) -> list[str]:
    """Each file, tag or link of the release that is gone or differs."""
    now = _released_files(project, released.objects)
    lost = [name for name, sha in released.files.items() if now.get(name) != sha]
    if _tags(project) != released.tags:
        lost.append("tags")
    if str((project.root / "released" / "bundle").readlink()) != released.link:
        lost.append("released/bundle")
    return lost


def lost_bytes(project: FaultProject, released: Released) -> int:
    """The bytes of the release that cannot be read any more as they were."""
    now = _released_files(project, released.objects)
    kept = [name for name, sha in released.files.items() if now.get(name) == sha]
    return released.size_bytes - sum((project.folder / name).stat().st_size for name in kept)


def bundle_fault(project: FaultProject) -> str:
    """What is wrong with the released bundle when it is loaded and used; empty if nothing is."""
    bundle = Bundle(project.root / "released" / "bundle")
    for example in read_golden(bundle)["encoder"]:
        found = bundle.run("encoder", {"images": example["images"]})
        if not np.allclose(found["embeddings"], example["embeddings"], atol=1e-3):
            return "the encoder answers other than it did"
    return ""


def untrue_entries(project: FaultProject, *clean: Clean) -> list[str]:
    """The stages of dvc.lock whose entry is none that a clean run gives."""
    try:
        found = yaml.safe_load(project.lock_bytes())["stages"]
    except (yaml.YAMLError, TypeError, KeyError):
        return ["dvc.lock cannot be read"]
    return [
        stage for stage, entry in found.items() if all(entry != one.entries[stage] for one in clean)
    ]


def working(project: FaultProject, services: set[int]) -> dict[int, list[str]]:
    """Every process that was started for the project and is none of the services."""
    mark = f"{MARK}={project.folder}".encode()
    found = {}
    there = {int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()}
    project.strangers &= there
    for pid in there - services - project.strangers:
        folder = Path("/proc") / str(pid)
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if mark in environment:
            found[pid] = words[:-1]
        elif any(environment):  # that of a zombie is empty, and of one that has just begun
            project.strangers.add(pid)
    return found


def held_locks(project: FaultProject) -> list[str]:
    """The locks that somebody holds, or that would keep the next run out."""
    held = []
    for path in (".headstart/run.lock", ".headstart/clones.lock", ".headstart/releases.lock"):
        if (project.root / path).exists():
            try:
                with FileLock(project.root / path, timeout=0):
                    pass
            except Timeout:
                held.append(path)
    return held


def leftovers(project: FaultProject) -> Iterator[str]:
    """What a run left behind that is neither an output nor a record."""
    state = project.root / ".headstart"
    names = ("run.json", "*.partial", ".*.replaced")
    for name in names:
        yield from (str(one.relative_to(project.root)) for one in state.glob(name))
    for folder in ("outputs", "exports", "released"):
        for path in (project.root / folder).glob(".*"):
            yield str(path.relative_to(project.root))
    rwlock = project.root / ".dvc" / "tmp" / "rwlock"
    if rwlock.exists():
        try:
            told = json.loads(rwlock.read_text())
        except ValueError:
            yield ".dvc/tmp/rwlock, cut short, which keeps DVC out for good"
            return
        readers = [info for infos in told.get("read", {}).values() for info in infos]
        for info in [*told.get("write", {}).values(), *readers]:
            if Path("/proc", str(info["pid"])).exists():
                yield f".dvc/tmp/rwlock, by {info}"


def _released_files(project: FaultProject, objects: frozenset[str]) -> dict[str, str]:
    cache = "project/.dvc/cache/files/md5"
    found = hashes(project.folder, "project/released", "store")
    named = {f"{cache}/{name[:2]}/{name[2:]}" for name in objects}
    return found | {
        name: sha for name, sha in hashes(project.folder, cache).items() if name in named
    }


def _tags(project: FaultProject) -> str:
    return project.git("show-ref", "--tags")
