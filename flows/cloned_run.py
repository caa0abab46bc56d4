"""`headstart run` with overrides: the plain run, in a clone under `runs/`."""

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from flows.clones import (
    Plan,
    committed_text,
    head_commit,
    is_committed,
    is_committed_whole,
    set_up_clone,
    uncommitted,
    untracked,
)
from flows.overrides import (
    SETTING,
    Layer,
    find_recipe,
    overridden,
    recipe_layer,
    settings_layer,
    short_hash,
    with_paths_from,
)
from flows.project import STARTED_VARIABLE, enter_project
from flows.runs import RUNS, Note, clone_environment, read_note
from tasks.errors import ParametersError
from tasks.params import PARAMS_FILE
from tasks.params_file import check_params, dump_sections, parse_sections

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
HEAD_OF_PARAMS = "# The committed params with the overrides of this run, which writes them anew.\n"


def become_run(
    recipe: str | None,
    settings: Sequence[str],
    name: str | None,
    wait_s: float,
    tell: Callable[[str], None],
) -> NoReturn:
    """Set a clone up, and have this process become the plain `headstart run` inside it.

    Args:
        recipe: a name or a file.
        settings: `KEY=VALUE` each; they count over the recipe.
        name: of the run; None has it named after the overrides.
        wait_s: how long to wait for a run that is going on in the same clone.
        tell: is called with lines for people.

    Raises:
        ParametersError: the overrides are not valid; nothing was touched.
        DataError: there is nothing that can be cloned.
        BusyError: the clone is busy, and remained so for `wait_s`.
    """
    here = Path.cwd()
    deadline = time.monotonic() + wait_s
    root = enter_project()
    plan = plan_run(root, here, recipe, settings, name)
    tell_left_out(plan, tell)
    os.environ[STARTED_VARIABLE] = str(here)
    become_planned(plan, deadline, tell)


def tell_left_out(plan: Plan, tell: Callable[[str], None]) -> None:
    """Name what stands in the project and is no part of a run, as it is not committed."""
    if left_out := _left_out(plan.root, plan):
        tell(f"not part of this run, as not committed: {_shortened(left_out)}")


def become_planned(plan: Plan, deadline: float, tell: Callable[[str], None]) -> NoReturn:
    """Set a planned clone up, and have this process become the plain `headstart run` inside it.

    Args:
        plan: of the clone.
        deadline: by the monotonic clock, for a run that is going on in the same clone.
        tell: is called with lines for people.

    Raises:
        DataError: the clone cannot be made, or was edited.
        BusyError: it is busy, and remained so.
    """
    wait_s = max(deadline - time.monotonic(), 0)
    tell(f"{plan.folder.relative_to(plan.root)}: {set_up_clone(plan, wait_s, tell)}")
    os.environ |= clone_environment(plan.folder, plan.commit, plan.params_text)
    os.chdir(plan.folder)
    left_s = max(deadline - time.monotonic(), 0)
    program = [sys.executable, "-m", "flows.cli", "run", "--wait-s", f"{left_s:.1f}"]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(program[0], program)


def plan_run(
    root: Path,
    here: Path,
    recipe: str | None,
    settings: Sequence[str],
    name: str | None,
    place: str = SETTING,
    commit: str | None = None,
    tracked: bool = False,
) -> Plan:
    """Check what is asked for, and work out the clone that it takes; touches nothing.

    Args:
        root: of the project.
        here: where relative paths on the command line begin.
        recipe: a name or a file.
        settings: `KEY=VALUE` each.
        name: of the run; None has it named after the overrides.
        place: how messages call the place of the settings.
        commit: of the code; None takes the one that the project stands on.
        tracked: images that DVC tracks will be in the clone, and are not read from the project.

    Raises:
        ParametersError: the overrides are not valid.
        DataError: there is nothing that can be cloned.
    """
    if read_note(root):
        raise ParametersError(f"{root}: a run itself; start others from {root.parents[1]}")
    if name is not None and not NAME.fullmatch(name):
        raise ParametersError(
            f"--name: found {name!r}, needed letters, digits, '.', '_' and '-', such as few-steps"
        )
    file = find_recipe(recipe, here) if recipe is not None else None
    layers = [recipe_layer(file)] if file else []
    layers += [settings_layer(settings, here, place)] if settings else []
    commit = commit or head_commit(root)
    params_text = _params_text(root, commit, layers, tracked)
    if name is None:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-.")[:80] if file else "set"
        name = f"{stem or 'own'}-{short_hash(layers)}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Plan(
        root=root,
        folder=root / RUNS / name,
        commit=commit,
        params_text=params_text,
        note=Note(recipe, list(settings), commit, now),
    )


def _params_text(root: Path, commit: str, layers: Sequence[Layer], tracked: bool) -> str:
    place = f"{PARAMS_FILE} of commit {commit[:7]}"
    text = committed_text(root, commit, PARAMS_FILE)
    committed = parse_sections(text, place)
    try:
        check_params(committed, lambda _: place)
    except ParametersError as error:
        first, *more = str(error).splitlines()
        others = f", and {len(more)} more" if more else ""
        raise ParametersError(
            f"{first}{others}; what is committed and the code here are not of a piece: commit first"
        ) from None
    changed = overridden(committed, layers)

    def is_there(path: Path) -> bool:
        return _is_in_clone(root, commit, path) or (tracked and _is_tracked(root, commit, path))

    changed = with_paths_from(changed, root, unless=is_there)
    return text if changed == committed else HEAD_OF_PARAMS + dump_sections(changed)


def _is_in_clone(root: Path, commit: str, path: Path) -> bool:
    """Whether the clone holds all of a path; what it does not is to be read where it is."""
    there = _with_its_images(path)
    if there.is_absolute() or ".." in there.parts:
        return False
    return is_committed_whole(root, commit, there)


def _is_tracked(root: Path, commit: str, path: Path) -> bool:
    """Whether DVC tracks a path, or a folder above it, by a file that the commit holds."""
    if path.is_absolute() or ".." in path.parts:
        return False
    above = [one for one in (path, *path.parents) if one.name]
    return any(is_committed(root, commit, one.with_name(f"{one.name}.dvc")) for one in above)


def _with_its_images(root: Path) -> Path:
    """What holds all images of a root: the paths in a table begin in its folder."""
    from tasks.sources.table import is_table

    return root.parent if is_table(str(root)) else root


def _left_out(root: Path, plan: Plan) -> list[str]:
    """What the commit lacks of the project, less images that are read where they are."""
    images = _with_its_images(Path(parse_sections(plan.params_text, "params")["prepare"]["root"]))
    names = (*uncommitted(root), *untracked(root))
    if not images.is_absolute():
        return [*names]
    return [name for name in names if not (root / name).is_relative_to(images)]


def _shortened(names: Sequence[str]) -> str:
    from tasks.trees.tree import printable

    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(printable, names[:3])) + more
