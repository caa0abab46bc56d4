"""The command `headstart verify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tasks.artifacts.layout import BUNDLE


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle's folder.")] = BUNDLE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of lines.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=1, help="Give up after so long.")
    ] = 600,
) -> None:
    """Check a bundle, also one from elsewhere: damage, dangers, and what its graphs promise.

    One line a check. It ends with 0 where the bundle is sound, also with warnings about code that
    nobody checked, and with 2 where it is not.
    """
    from flows.verifying import verification_json, verification_lines
    from tasks.artifacts.verification import verify as check

    found = check(folder, timeout_s=timeout_s)
    if as_json:
        print(json.dumps(verification_json(found, folder), indent=2))
    else:
        for line in verification_lines(found):
            print(line)
    raise typer.Exit(2 if found.failed else 0)
