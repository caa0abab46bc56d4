"""Lines of this program for people, on standard error."""

import sys


def say(line: str) -> None:
    """Tell one line, at once, with the name of who tells it."""
    sys.stderr.write(f"headstart: {line}\n")
    sys.stderr.flush()
