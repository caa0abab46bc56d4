"""Credentials of remotes: refused where git keeps them, and masked in every line that is told."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.errors import ParametersError
from tasks.params import PARAMS_FILE

COMMITTED = Path(".dvc/config")
LOCAL = Path(".dvc/config.local")
# Settings of DVC's remotes that are secret by themselves; paths to files of credentials are not.
SECRET_SETTINGS = (
    "access_key_id",
    "account_key",
    "bearer_token_command",
    "client_secret",
    "connection_string",
    "gdrive_client_secret",
    "oss_key_id",
    "oss_key_secret",
    "password",
    "sas_token",
    "secret_access_key",
    "session_token",
    "token",
)
SECRET_VARIABLES = re.compile(
    r"SECRET|PASSWORD|TOKEN$|ACCESS_KEY|ACCOUNT_KEY|API_KEY|SAS_|CONNECTION_STRING|WEBHOOK_URL"
)
SETTING = re.compile(r"^\s*([a-z_]+)\s*=\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)
IN_ADDRESS = re.compile(r"(?<=://)([^\s/@'\":]*):([^\s/@'\"]+)(?=@)")
SHORTEST = 6  # letters; masking less would eat words of every line
MASK = "***"


def check_no_credentials(root: Path) -> None:
    """Check that no file that git keeps holds what opens a remote.

    Raises:
        ParametersError: it does; the text names file and setting, never the value.
    """
    text = _read(root / COMMITTED)
    for name, value in SETTING.findall(text):
        if name in SECRET_SETTINGS and value:
            raise ParametersError(
                f"{COMMITTED}: found {name}, needed no credentials in a file that git keeps; "
                f"`dvc remote modify --local NAME {name} VALUE` keeps it in {LOCAL}, which git "
                "ignores, or set it in the environment. What was committed once is to be replaced"
            )
    for path in (COMMITTED, PARAMS_FILE):
        if IN_ADDRESS.search(_read(root / path)):
            raise ParametersError(
                f"{path}: found a password in an address, needed none in a file that git keeps; "
                "give it by the environment or `dvc remote modify --local`. What was committed "
                "once is to be replaced"
            )


def masking(root: Path | None = None) -> Callable[[str], str]:
    """What takes the secrets of the environment and of DVC's local settings out of a line.

    Args:
        root: of the project; None takes the working directory.
    """
    secrets = sorted(set(_secrets(root or Path())), key=len, reverse=True)

    def masked(line: str) -> str:
        for secret in secrets:
            line = line.replace(secret, MASK)
        return IN_ADDRESS.sub(rf"\1:{MASK}", line)

    return masked


def _secrets(root: Path) -> Iterator[str]:
    for name, value in os.environ.items():
        if SECRET_VARIABLES.search(name) and len(value) >= SHORTEST and not value.isdecimal():
            yield value
    for path in (COMMITTED, LOCAL):
        for name, value in SETTING.findall(_read(root / path)):
            if name in SECRET_SETTINGS and len(value) >= SHORTEST:
                yield value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
