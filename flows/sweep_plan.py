"""What a sweep is going to try, checked before anything starts."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.cloned_run import plan_run
from flows.clones import Plan, head_commit
from flows.overrides import setting_word
from flows.project import STATE_FOLDER
from flows.proposals import Point, corner_points, grid_points
from flows.sweep_file import Sweep, read_sweep
from tasks.artifacts.files import write_json
from tasks.errors import ParametersError

SWEEPS = STATE_FOLDER / "sweeps"


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that can be started.

    Attributes:
        root: of the project.
        file: that asks for it.
        name: after the file; the names of its trials begin with it.
        commit: of the code of all trials.
        asked: what the file says.
    """

    root: Path
    file: Path
    name: str
    commit: str
    asked: Sweep

    def trial(self, point: Point) -> Plan:
        """The clone of one trial; the same overrides always have the same name.

        Raises:
            ParametersError: the overrides make no valid params.
        """
        words = [setting_word(key, value) for key, value in point.items()]
        place, folder = str(self.file), self.file.parent
        plan = plan_run(self.root, folder, self.asked.recipe, words, None, place, self.commit)
        told_apart = plan.folder.name.rpartition("-")[2]
        return replace(plan, folder=plan.folder.with_name(f"{self.name}-{told_apart}"))

    @property
    def memory(self) -> Path:
        """Where it is kept what was proposed, so that a sweep goes on with the same trials."""
        return self.root / SWEEPS / f"{self.name}-{self.asked.identity[:16]}.json"

    def proposed(self) -> list[Point]:
        """What was proposed before, by trial."""
        try:
            points = json.loads(self.memory.read_text(encoding="utf-8"))["points"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [dict(point) for point in points]

    def remember(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Keep what was proposed."""
        self.memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.memory, {"points": list(points)})


def plan_sweep(root: Path, file: Path) -> SweepPlan:
    """Read a sweep file, and check that its trials can be run; touches nothing.

    Of a grid every trial is checked, of a search every end of a range and every choice.

    Args:
        root: of the project.
        file: absolute; relative paths in it begin in its folder.

    Raises:
        ParametersError: the file, or what it makes of the params, is not valid.
        DataError: there is nothing that can be cloned.
    """
    asked = read_sweep(file)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-.")[:80] or "sweep"
    planned = SweepPlan(root, file, name, head_commit(root), asked)
    _check_keys(planned)
    if asked.grid is None:
        for point in corner_points(asked.axes):
            planned.trial(point)
        return planned
    seen: dict[str, Point] = {}
    for point in grid_points(asked.grid):
        trial = planned.trial(point).folder.name
        if trial in seen:
            raise ParametersError(f"{file}: grid: found the trial {point} twice, needed it once")
        seen[trial] = point
    return planned


def _check_keys(plan: SweepPlan) -> None:
    """Refuse a key twice over: one of its trials would override another's section."""
    keys = list(plan.asked.axes)
    for key in keys:
        if inside := next((one for one in keys if one.startswith(f"{key}.")), None):
            raise ParametersError(f"{plan.file}: found {key} and {inside}, needed one of the two")
        if not all(key.split(".")):
            raise ParametersError(
                f"{plan.file}: found the key {key!r}, needed one such as metatrain.steps"
            )
