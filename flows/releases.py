"""The releases of a project: git tags as GTO writes them, and the record in each tagged commit.

`bundle@v0.2.0` is a version, `bundle#prod#3` the third time that a version was put into use.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from flows.clones import git
from tasks.errors import DataError

Bump = Literal["major", "minor", "patch"]

ARTIFACT = "bundle"
STAGE = "prod"
RECORD = Path("release.json")
BUMPS: tuple[Bump, ...] = ("major", "minor", "patch")
FIRST = "v0.1.0"

# GTO, when imported, sets up logging anew: it flushes every handler with the lock of `logging` in
# its hands. Prefect's handler then waits for a thread that may want to log: both for ever.
sys.modules.setdefault("gto.log", ModuleType("gto.log"))


@dataclass(frozen=True)
class Release:
    """One version.

    Attributes:
        version: such as v0.2.0.
        commit: that the tag names; it holds the record, the params and the dvc.lock of the version.
        released: ISO 8601.
        in_use: whether it is the one of stage `prod`.
    """

    version: str
    commit: str
    released: str
    in_use: bool


def all_releases(root: Path) -> list[Release]:
    """Every version, the highest first.

    Raises:
        DataError: there is no git repository.
    """
    tags = _tags(root)
    used = _uses(tags)[-1:]
    found = [
        Release(parsed["version"], commit, date, commit in used)
        for parsed, commit, date in tags
        if parsed["action"] == "register"
    ]
    return sorted(found, key=lambda one: _numbers(one.version), reverse=True)


def release_in_use(root: Path) -> Release | None:
    """The version of stage `prod`; None where none is."""
    return next((one for one in all_releases(root) if one.in_use), None)


def release_before(root: Path) -> Release:
    """The version that was in use before the one that is.

    Raises:
        DataError: there was none.
    """
    uses = _uses(_tags(root))
    earlier = [commit for commit in uses if commit != uses[-1]]
    for one in all_releases(root):
        if earlier and one.commit == earlier[-1]:
            return one
    raise DataError("--previous: no other version was in use before; `headstart releases` lists")


def find_release(root: Path, version: str) -> Release:
    """The release of a version, with or without its v.

    Raises:
        DataError: there is none.
    """
    found = all_releases(root)
    for one in found:
        if one.version.removeprefix("v") == version.removeprefix("v"):
            return one
    there = ", ".join(one.version for one in found) or "none; `git fetch --tags` gets those of git"
    raise DataError(f"{version}: no such release; there are {there}")


def read_record(root: Path, release: Release) -> dict[str, Any]:
    """What a release was: figures, data, code, and the SHA-256 of its bundle's manifest.

    Raises:
        DataError: its commit holds no such record.
    """
    try:
        record = json.loads(git(root, "show", f"{release.commit}:{RECORD}"))
        if not {"bundle_sha256", "commit", "figures", "data"} <= set(record):
            raise ValueError("entries are missing")
    except (ValueError, TypeError, DataError) as error:
        raise DataError(
            f"{release.version}: no release of headstart ({error}); a tag that was set by hand?"
        ) from None
    return dict(record)


def next_version(root: Path, bump: Bump) -> str:
    """The version that comes after the highest one."""
    versions = [one.version for one in all_releases(root)]
    if not versions:
        return FIRST
    at = BUMPS.index(bump)
    numbers = list(_numbers(versions[0]))
    numbers[at:] = [numbers[at] + 1, *[0] * (2 - at)]
    return f"v{'.'.join(map(str, numbers))}"


def register(root: Path, commit: str, version: str, send: Callable[[list[str]], None]) -> None:
    """Tag a commit as a version, and put the version into use; both or neither.

    Args:
        root: of the project.
        commit: of the release.
        version: of it.
        send: is given the new tags; where it raises, they are removed.

    Raises:
        DataError: GTO refuses.
    """
    import gto.api

    def tag(name: str, email: str) -> None:
        words: dict[str, Any] = {"author": name, "author_email": email}
        gto.api.register(str(root), ARTIFACT, commit, version, f"Release {version}", **words)
        gto.api.assign(str(root), ARTIFACT, STAGE, version, message=f"Use {version}", **words)

    _tag_and_send(root, tag, send)


def put_into_use(root: Path, version: str, send: Callable[[list[str]], None]) -> None:
    """Say by a tag that a version, which is there, is the one in use; arguments as above."""
    import gto.api

    def tag(name: str, email: str) -> None:
        gto.api.assign(
            str(root),
            ARTIFACT,
            STAGE,
            version,
            message=f"Use {version}",
            author=name,
            author_email=email,
            force=True,  # it may have been in use before
        )

    _tag_and_send(root, tag, send)


def identity(root: Path) -> tuple[str, str]:
    """Name and address that commits and tags bear: git's own setting, or the program's name."""
    try:
        name, _, rest = git(root, "var", "GIT_COMMITTER_IDENT").partition(" <")
        return name, rest.partition(">")[0]
    except DataError:
        return "headstart", "headstart@localhost"


def releases_table(root: Path) -> Table:
    """The versions with stage, date and their first figure."""
    table = Table(box=None, pad_edge=False)
    for column in ("version", "stage", "released", "accuracy %", "gain", "of"):
        side: JustifyMethod = "right" if column in ("accuracy %", "gain") else "left"
        table.add_column(column, justify=side, no_wrap=True)
    for one in all_releases(root):
        date = datetime.fromisoformat(one.released).astimezone().strftime("%Y-%m-%d %H:%M")
        figures = _first_figure(read_record(root, one)["figures"])
        table.add_row(*map(Text, (one.version, STAGE if one.in_use else "", date, *figures)))
    return table


def releases_json(root: Path) -> list[dict[str, Any]]:
    """The same for programs, with everything that was recorded."""
    return [
        {
            "version": one.version,
            "stage": STAGE if one.in_use else None,
            "released": one.released,
            "release_commit": one.commit,
            **read_record(root, one),
        }
        for one in all_releases(root)
    ]


def _first_figure(figures: Mapping[str, Any]) -> tuple[str, str, str]:
    for one in figures.values():
        gain = one.get("difference")
        return (
            f"{100 * one['accuracy']:.2f} ±{100 * one['interval95']:.2f}",
            "-" if gain is None else f"{100 * gain:+.2f} ±{100 * one['difference_interval95']:.2f}",
            str(one["name"]),
        )
    return "-", "-", ""


def _tag_and_send(
    root: Path, tag: Callable[[str, str], None], send: Callable[[list[str]], None]
) -> None:
    from gto.exceptions import GTOException

    before = set(_tag_names(root))
    try:
        tag(*identity(root))
        send([name for name in _tag_names(root) if name not in before])
    except BaseException as error:
        if fresh := [name for name in _tag_names(root) if name not in before]:
            git(root, "tag", "--delete", *fresh)
        if isinstance(error, GTOException):
            raise DataError(f"{root}: {error}") from None
        raise


def _tags(root: Path) -> list[tuple[dict[str, Any], str, str]]:
    """What GTO reads in each tag of the bundle, its commit and its date."""
    from gto.api import parse_tag

    form = "--format=%(refname:strip=2)|%(objectname)|%(*objectname)|%(creatordate:iso-strict)"
    patterns = (f"refs/tags/{ARTIFACT}@*", f"refs/tags/{ARTIFACT}#{STAGE}*")
    found = []
    for line in git(root, "for-each-ref", form, *patterns).splitlines():
        name, tag, commit, date = line.split("|")
        if parsed := parse_tag(name):
            found.append((parsed | {"action": parsed["action"].value}, commit or tag, date))
    return found


def _tag_names(root: Path) -> list[str]:
    return git(root, "tag", "--list", f"{ARTIFACT}@*", f"{ARTIFACT}#*").splitlines()


def _uses(tags: list[tuple[dict[str, Any], str, str]]) -> list[str]:
    """Commits that were put into use, in order; the number counts, as dates have whole seconds."""
    uses = [(tag.get("counter", 0), commit, tag["action"]) for tag, commit, _ in tags]
    return [
        commit if action == "assign" else ""  # somebody took a version out of use
        for _, commit, action in sorted(uses)
        if action in ("assign", "unassign")
    ]


def _numbers(version: str) -> tuple[int, ...]:
    """For the order of versions; what a hand made otherwise comes last."""
    try:
        first, second, third = (int(one) for one in version.removeprefix("v").split("."))
        return first, second, third
    except ValueError:
        return (-1, 0, 0)
