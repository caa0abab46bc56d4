"""The command that looks at images before anything is trained on them: `headstart inspect`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tasks.artifacts.layout import BUNDLE


def inspect(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A folder, table or archive of images, or the address of one: what prepare.root "
            "may be.",
        ),
    ],
    *,
    source: Annotated[
        str, typer.Option(help="image_folder, archive, omniglot or torchvision.")
    ] = "image_folder",
    dataset: Annotated[
        str, typer.Option(help="Of source torchvision: its name there, such as CIFAR100.")
    ] = "",
    images: Annotated[
        int,
        typer.Option(
            min=10,
            max=100_000,
            help="How many to look into at most, spread over the classes; all are counted.",
        ),
    ] = 2_000,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Its encoder compares images, to find labels that may be wrong.",
            show_default=str(BUNDLE),
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page with pictures, all in one file."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Write params to start with, for `headstart run --recipe FILE.yaml`.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --write replace a file.")] = False,
    timing: Annotated[
        bool, typer.Option("--timing/--no-timing", help="Time a few steps of training.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")] = False,
) -> None:
    """Look at images before training: what there is, what is odd, what it can carry.

    Counts every class and group; opens some images for their sizes, duplicates
    and labels that may be wrong; tells which way and shot the classes can carry,
    and about how long a run takes. Needs no project; writes only what it is told.
    """
    from flows.inspecting.command import run
    from flows.inspecting.wanted import Wanted
    from tasks.terminal import stage_terminal

    wanted = Wanted(
        path=path,
        source=source,
        dataset=dataset,
        images=images,
        bundle=bundle,
        page=page,
        recipe=write,
        replace=force,
        timing=timing,
    )
    with stage_terminal("inspect") as track:
        done = run(wanted, track)
    if as_json:
        print(json.dumps({**done.as_json, "next": done.next_command}, indent=2))
    else:
        from rich.console import Console

        Console().print(done.text)
    sys.stdout.flush()
    for line in done.written:
        print(f"headstart: {line}", file=sys.stderr)
    if not as_json:
        print(f"\nnext: {done.next_command}")
    done.raise_fault()
