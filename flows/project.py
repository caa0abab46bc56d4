"""Finds the project, and sets what every process started for it inherits."""

import os
import sys
from pathlib import Path

from tasks.errors import DataError
from tasks.lifeline import bind_to

STATE_FOLDER = Path(".headstart")
STARTED_VARIABLE = "HEADSTART_STARTED_IN"
KEEPER_VARIABLE = "HEADSTART_KEEPER_PID"  # the process that a flow run is to end with
KEEPER_GRACE_S = 8.0  # to bring back what a stage that was cut short has lost

QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}
# What the automation of flows/automations.py listens for; prefect.toml says it to Prefect's own
# commands, which know nothing of this file.
HEARTBEAT_S = 30


def enter_project(start: Path | None = None) -> Path:
    """Change into the project's root, which is `start` (here, if None) or a folder above it.

    Raises:
        DataError: no such folder holds both dvc.yaml and params.yaml.
    """
    from tasks.inputs import PIPELINE_FILE  # with the models of all params: --help does without
    from tasks.params import PARAMS_FILE

    here = (start or Path.cwd()).resolve()
    needed = (PIPELINE_FILE, PARAMS_FILE)
    for folder in (here, *here.parents):
        found = [name for name in needed if (folder / name).is_file()]
        if len(found) == len(needed):
            os.chdir(folder)
            return folder
        if found:
            missing = next(name for name in needed if name not in found)
            raise DataError(f"{folder}: holds {found[0]} but no {missing}; restore it")
    raise DataError(
        f"{here}: no project here or above; change into the folder that holds "
        f"{PIPELINE_FILE} and {PARAMS_FILE}"
    )


def enter_valid_project() -> None:
    """Enter the project, and stop at a fault in params.yaml before anything starts.

    Raises:
        DataError: as `enter_project`.
        ParametersError: params.yaml is not valid.
    """
    from tasks.params_file import load_params

    enter_project()
    load_params()
    prepare_environment()


def seen_from(folder: Path, path: Path) -> str:
    """A path of the project as someone writes it who stands in `folder`: the shorter way."""
    absolute = str(Path.cwd() / path)
    return min(os.path.relpath(absolute, folder), absolute, key=len)


def end_with_keeper() -> None:
    """Have this process end with the one that keeps its runs, should there be one.

    `headstart serve`, `server` and `sweep` start runs, and those are to end with them.
    """
    if keeper := os.environ.get(KEEPER_VARIABLE):
        bind_to(int(keeper), KEEPER_GRACE_S)


def prepare_environment() -> None:
    """Keep tools quiet, and let `python` mean this interpreter also where none is activated."""
    beats = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
    for name, value in (QUIET | beats).items():
        os.environ.setdefault(name, value)
    folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    if path.split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join(filter(None, (folder, path)))
