"""What a run needs and is not here: from DVC's cache, from its remote, or made anew.

In a fresh clone nothing is here but what git holds. A stage whose inputs did not change is up to
date without its outputs; one that has to run gets the outputs that it reads, and no others.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.credentials import masking
from flows.repro import StageFailedError, StageResult, diagnose, reproduce, run_limited
from flows.stage_files import holder_of, lacks_files, result_outs
from tasks.errors import DataError
from tasks.inputs import declared_stages

Tell = Callable[[str], None]
DVC_FOLDER = Path(".dvc")


@dataclass(frozen=True)
class Need:
    """What is here of what a stage or a reader needs.

    Attributes:
        changed: the stage has to run, or to be restored.
        restored: its outputs were put into place from DVC's cache.
        lacking: stages whose outputs are needed and are nowhere.
        objects: that were fetched.
        bytes: of them.
        seconds: that it took.
    """

    changed: bool = True
    restored: bool = False
    lacking: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def after(self, first: "Need") -> "Need":
        """This one, with what was fetched for the first as well."""
        return replace(
            self,
            objects=self.objects + first.objects,
            bytes=self.bytes + first.bytes,
            seconds=self.seconds + first.seconds,
        )


def bring_up_to_date(stage: str, tell: Tell) -> list[StageResult]:
    """Bring one stage up to date, and fetch what it takes where that is not here.

    Returns:
        How the stage ended, after those that had to be made anew for it.

    Raises:
        StageFailedError: the stage, DVC or its remote failed; what stood before still stands.
    """
    if not lacks_files(declared_stages(), stage) or not has_remote():
        return [reproduce(stage, tell)]
    need = _ask(stage, "stage", [stage], tell)
    made = _make(need.lacking, tell)
    if need.lacking:
        need = _ask(stage, "stage", [stage], tell).after(need)
    result = reproduce(stage, tell, allow_missing=not need.changed)
    state = "restored" if need.restored and result.state == "up to date" else result.state
    own = replace(
        result,
        state=state,
        seconds=result.seconds + need.seconds,
        fetched_objects=need.objects,
        fetched_bytes=need.bytes,
    )
    return [*made, own]


def bring_results(tell: Tell) -> tuple[list[StageResult], int, int]:
    """Have the outputs in place that a run is for: of the metrics, and those that no stage reads.

    Returns:
        Stages that had to be made anew; objects and bytes that were fetched.

    Raises:
        StageFailedError: the remote failed, or a stage whose outputs are nowhere.
    """
    missing = [out for out in result_outs(declared_stages()) if not Path(out).exists()]
    if not missing or not has_remote():
        return [], 0, 0
    need = _ask("results", "outs", missing, tell)
    return _make(need.lacking, tell), need.objects, need.bytes


def fetch_outs(outs: Sequence[str], tell: Tell) -> bool:
    """Have outputs in place as dvc.lock records them, after a look at what the cache holds.

    Returns:
        False where neither the cache nor the remote has them.

    Raises:
        DataError: the remote failed, or what it holds is damaged.
    """
    try:
        return not _ask("fetch", "outs", outs, tell).lacking
    except StageFailedError as error:
        raise DataError(str(error).removeprefix("fetch: ")) from None


def complete_remote(tell: Tell) -> None:
    """Have DVC's remote hold every output of the project in its full size.

    Raises:
        DataError: it does not take them.
    """
    try:
        _ask("push", "complete", [], tell)
    except StageFailedError as error:
        raise DataError(str(error).removeprefix("push: ")) from None


def has_remote(folder: Path = Path()) -> bool:
    """Whether DVC has a default remote.

    Raises:
        DataError: DVC's settings cannot be read.
    """
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        return bool(Config(str(folder / DVC_FOLDER))["core"].get("remote"))
    except DvcException as error:
        raise DataError(masking(folder)(f"{folder / DVC_FOLDER}: {error}")) from None


def _make(names: Sequence[str], tell: Tell) -> list[StageResult]:
    """Run stages whose outputs are nowhere, and before each those whose outputs it needs."""
    stages = declared_stages()
    done = []
    for name in names:
        if all(Path(out).exists() for out in stages[name].outs):
            continue  # another one of these needed it
        tell(f"{name}: its outputs are neither in DVC's cache nor in its remote; made anew")
        missing = [dep for dep in stages[name].deps if not Path(dep).exists()]
        if outs := sorted({out for dep in missing for out in holder_of(stages, dep)}):
            need = _ask(name, "outs", outs, tell)
            done += _make(need.lacking, tell)
        done.append(reproduce(name, tell))
    return done


def _ask(name: str, verb: str, words: Sequence[str], tell: Tell) -> Need:
    """Have the child do its part, and read its verdict."""
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        path = Path(folder, "verdict.json")
        code, tail = run_limited(name, ("fetch", str(path), verb, *words), _but_faults(tell))
        if code != 0:
            raise diagnose(name, code, tail)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    need = Need(
        changed=found.get("changed", True),
        restored=found.get("restored", False),
        lacking=tuple(found.get("lacking", ())),
        objects=found["objects"],
        bytes=found["bytes"],
        seconds=found["seconds"],
    )
    if need.objects:
        tell(f"{name}: fetched {told(need.objects, need.bytes)} in {need.seconds:.1f} s")
    if found.get("completed"):
        tell(f"{found['completed']} objects were missing or cut short on the remote; put there")
    return need


def _but_faults(tell: Tell) -> Tell:
    """Without the lines that become the error."""
    return lambda line: None if line.startswith("ERROR") else tell(line)


def told(objects: int, size_bytes: int) -> str:
    """Objects and bytes in words."""
    units = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
    unit, size = next(((u, s) for u, s in units if size_bytes >= s), ("B", 1.0))
    amount = f"{size_bytes / size:.0f}" if unit == "B" else f"{size_bytes / size:.1f}"
    return f"{objects} object{'s' if objects != 1 else ''}, {amount} {unit}"
