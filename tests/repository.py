"""git as tests call it: with an author of its own, and never waiting for anybody."""

import subprocess
from pathlib import Path

_SETTINGS = (
    *("-c", "user.name=test", "-c", "user.email=test@localhost"),
    *("-c", "commit.gpgsign=false"),
)


def git(folder: Path, *words: str) -> str:
    """What git printed, without the end of its last line."""
    done = subprocess.run(
        ["git", *_SETTINGS, *words],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.removesuffix("\n")
