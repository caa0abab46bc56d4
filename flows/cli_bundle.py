"""The commands that use a bundle: `headstart predict`, `enroll` and `score`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tasks.artifacts.layout import BUNDLE

BundleFolder = Annotated[Path, typer.Option(help="The bundle, as `headstart run` leaves it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]


def predict(
    query: Annotated[list[Path], typer.Option(help="Image, or folder of images; may be repeated.")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="More queries.")] = None,
    support: Annotated[
        Path | None, typer.Option(help="Folder with one folder of images a class.")
    ] = None,
    head: Annotated[
        Path | None, typer.Option(help="Classes that `headstart enroll` or the teach page saved.")
    ] = None,
    bundle: BundleFolder = BUNDLE,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON in place of a table; of a query that is unknown, class is null, and "
            "probability is that of the likeliest class.",
        ),
    ] = False,
) -> None:
    """Learn classes from a few images each, and name other images."""
    from flows.predicting import answers_json, answers_table
    from flows.predicting import predict as answer
    from tasks.terminal import stage_terminal

    with stage_terminal("predict") as track:
        answers = answer(bundle, support, [*query, *(more or [])], track, head)
    _show(answers_json(answers) if as_json else answers_table(answers))


def enroll(
    head: Annotated[Path, typer.Option(help="File of the classes (.npz); made if there is none.")],
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE", help="Images or folders of them.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Class of the images.")] = None,
    support: Annotated[
        Path | None, typer.Option(help="Folder with one folder of images a class.")
    ] = None,
    forget: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Remove a class; may be repeated.")
    ] = None,
    rename: Annotated[
        tuple[str, str] | None, typer.Option(metavar="OLD NEW", help="Call a class otherwise.")
    ] = None,
    bundle: BundleFolder = BUNDLE,
    as_json: AsJson = False,
) -> None:
    """Add images to the classes of a head file, or change them; lists what it then holds."""
    from flows.enrolling import Changes, classes_json, classes_table
    from flows.enrolling import enroll as change
    from tasks.terminal import stage_terminal

    changes = Changes(forget or (), rename, support, name, images or ())
    with stage_terminal("enroll") as track:
        classes = change(bundle, head, changes, track)
    _show(classes_json(classes) if as_json else classes_table(classes))


def score(
    *,
    images: Annotated[Path, typer.Option(help="Holds CLASS/* or GROUP/CLASS/*.")],
    bundle: BundleFolder = BUNDLE,
    way: Annotated[int, typer.Option(min=2, help="Classes in an episode.")] = 20,
    shot: Annotated[int, typer.Option(min=1, help="Images to learn a class from.")] = 1,
    queries: Annotated[int, typer.Option(min=1, help="Images of a class to name.")] = 1,
    episodes: Annotated[int, typer.Option(min=2, help="How many to draw.")] = 400,
    within_group: Annotated[
        bool, typer.Option("--within-group", help="Classes of an episode come from one group.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds draw other episodes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on images of your own."""
    from flows.scoring import Plan, score_table
    from flows.scoring import score as measure
    from tasks.terminal import stage_terminal

    plan = Plan(way, shot, queries, episodes, within_group, seed)
    with stage_terminal("score") as track:
        found = measure(bundle, images, plan, track)
    _show(found.as_json() if as_json else score_table(found, str(bundle)))


def _show(result: object) -> None:
    """Print a table for people, or anything else as JSON for programs."""
    from rich.console import Console
    from rich.table import Table

    if isinstance(result, Table):
        Console().print(result)
    else:
        print(json.dumps(result, indent=2))
