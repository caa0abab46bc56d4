"""Images of one's own become a bundle, and one that is added is noticed through either door."""

from __future__ import annotations

import json
import signal
import zipfile
from typing import TYPE_CHECKING

import pytest
import yaml

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import BUNDLE, LISTING, PREPARED
from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tests.conftest import merged
from tests.hostile import encoded
from tests.integration.conftest import checkout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Server, Toy

pytestmark = pytest.mark.slow

CLASSES, IMAGES = 20, 12
EPISODES = {"way": 2, "shot": 1, "queries": 3, "episodes": 10}
SMALL = {
    "prepare": {
        "image_size_px": 16,
        "splits": {"validation": ["c01", "c02", "c03"], "novel": ["c04", "c05", "c06"]},
    },
    "pretrain": {"epochs": 1, "conv4_widths": [4, 4, 8, 8], "selection": EPISODES},
    "metatrain": {
        "way": 2,
        "queries": 3,
        "steps": 2,
        "meta_batch": 2,
        "checkpoint_every_steps": 2,
        "selection": EPISODES,
    },
    "evaluate": {
        "episodes": 30,
        "queries": 3,
        "protocols": [{"domain": "novel", "way": 3, "shot": 1}],
    },
}
PHOTOGRAPHS = {
    f"c{i:02}/{n}.png": encoded(100 * i + n) for i in range(CLASSES) for n in range(IMAGES)
}
ONE_MORE = {"c00/new.png": encoded(9_001)}


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_folder(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def prepared(folder: Path) -> int:
    """How many images stage prepare stored."""
    manifest = ImageStore(folder / PREPARED).manifest
    return sum(part["images"] for part in manifest["parts"].values())


def stages_run(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Iterator[Toy]:
    made = checkout(tmp_path / "project", server)
    made.env[FOLDER_VARIABLE] = str(tmp_path / "cache")
    yield made
    made.clean_up()


def test_a_zip_becomes_a_bundle_and_is_taken_in_again_with_what_is_new(
    project: Toy, tmp_path: Path
) -> None:
    archive = tmp_path / "photos.zip"
    write_zip(archive, PHOTOGRAPHS)
    words = ["headstart", "run", "--recipe", "image-folder", "--name", "own"]
    settings = [f"prepare.root={archive}"]
    for section, values in SMALL.items():
        for key, value in values.items():
            settings.append(f"{section}.{key}={json.dumps(value)}")
    for setting in settings:
        words += ["--set", setting]
    code, output = project.run(*words)
    assert code == 0, output
    clone = project.root / "runs" / "own"
    assert prepared(clone) == CLASSES * IMAGES
    bundle = Bundle(clone / BUNDLE)
    assert len(bundle.manifest["base_classes"]) <= CLASSES - 6
    listed = (clone / LISTING).read_bytes()

    write_zip(archive, PHOTOGRAPHS | ONE_MORE)
    again = project.start(*words)
    assert again.stdout is not None
    states = []
    for line in again.stdout:
        if ": ran, " in line:
            states.append(line.partition(":")[0])
        if states == ["scan@root", "prepare"]:
            break  # what comes after is as before
    again.send_signal(signal.SIGINT)
    _, output = project.finish(again)
    assert states == ["scan@root", "prepare"], output
    assert prepared(clone) == CLASSES * IMAGES + 1
    assert (clone / LISTING).read_bytes() != listed


def test_the_bare_door_notices_an_image_that_was_added(project: Toy) -> None:
    recipe = yaml.safe_load((project.root / "flows/recipes/image-folder.yaml").read_text())
    params = yaml.safe_load((project.root / "params.yaml").read_text())
    own = {"prepare": {"root": "photos"}}
    for change in (recipe, SMALL, own):
        params = merged(params, change)
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    write_folder(project.root / "photos", PHOTOGRAPHS)
    words = ("dvc", "repro", "prepare")
    code, output = project.run(*words)
    assert code == 0, output
    assert stages_run(output) == ["scan@root", "prepare"]
    assert prepared(project.root) == CLASSES * IMAGES
    code, output = project.run(*words)
    assert (code, stages_run(output)) == (0, ["scan@root"]), output
    write_folder(project.root / "photos", ONE_MORE)
    code, output = project.run(*words)
    assert (code, stages_run(output)) == (0, ["scan@root", "prepare"]), output
    assert prepared(project.root) == CLASSES * IMAGES + 1
