"""What changes the version in use. Prefect is not imported here: a rollback is to take seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flows import releases
from flows.clones import git
from flows.placing import link, place, placed_version
from flows.project import STATE_FOLDER
from flows.release_gate import Gate, load_gate
from flows.releases import Release
from tasks.errors import BusyError

LOCK_FILE = STATE_FOLDER / "releases.lock"
LOCK_WAIT_S = 60.0
Tell = Callable[[str], None]


def roll_back(root: Path, version: str | None, tell: Tell) -> Release:
    """Put an older version into use again, or the one in use into its place.

    Args:
        root: of the project.
        version: which; None takes the one that was in use before.
        tell: is called with lines for people.

    Returns:
        What is in use now.

    Raises:
        DataError: there is no such release, or its bundle is nowhere; nothing was changed.
        BundleError: its bundle is damaged; nothing was changed.
        BusyError: another command is changing what is in use.
    """
    with changing_releases(root):
        wanted = releases.find_release(root, version) if version else releases.release_before(root)
        # First what can fail: with the bundle at hand, the tag and the link are moments.
        before = placed_version(root)
        place(root, wanted, tell)
        if not wanted.in_use:
            try:
                releases.put_into_use(root, wanted.version, sender(root, load_gate(root)))
            except BaseException:
                link(root, before)
                raise
    return wanted


@contextmanager
def changing_releases(root: Path) -> Iterator[None]:
    """Keep other commands from changing what is in use; held for moments, not for a training.

    Raises:
        BusyError: another one went on doing so.
    """
    (root / STATE_FOLDER).mkdir(exist_ok=True)
    lock = FileLock(root / LOCK_FILE)
    try:
        lock.acquire(timeout=LOCK_WAIT_S)
    except Timeout:
        raise BusyError(
            f"another command has been changing what is in use for {LOCK_WAIT_S:.0f} s; try again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def sender(root: Path, gate: Gate) -> Callable[[list[str]], None]:
    """Pushes tags to the git remote that the gate names, all or none."""

    def send(tags: list[str]) -> None:
        if gate.git_remote and tags:
            refs = [f"refs/tags/{tag}" for tag in tags]
            git(root, "push", "--quiet", "--atomic", gate.git_remote, *refs)

    return send
