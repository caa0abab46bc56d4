import json
import os
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from flows.inspecting import timing, wanted
from flows.overrides import overridden, recipe_layer
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import PREPARED
from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.params import Params
from tasks.params_file import load_params, read_sections
from tasks.prepare.stage import prepare
from tasks.progress import untracked
from tests.conftest import ROOT, TINY, write_params
from tests.pictures import Links, drawing, inspect, photograph, write_classes

HOSTILE = '<img src=x onerror=alert(1)> "&amp;" \x1b[31m\n{{ 7*7 }} \u202eRTL'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no project, with 30 classes of 8 photographs in `photos`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(wanted, "_SHIPPED", tmp_path / "none")
    write_classes(tmp_path / "photos", 30, 8)
    return tmp_path


@pytest.fixture
def project(here: Path) -> Path:
    shutil.copy(ROOT / "dvc.yaml", here)
    shutil.copy(ROOT / "params.yaml", here)
    return here


def found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> dict[str, Any]:
    assert inspect(monkeypatch, *words, "--json", "--no-timing") == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_wrong_label_and_doubles_are_told_as_json(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = here / "photos"
    photograph(3, 99).save(photos / "kind 7" / "wrong.png")
    shutil.copy(photos / "kind 1" / "0.png", photos / "kind 1" / "twice.png")
    shutil.copy(photos / "kind 2" / "0.png", photos / "kind 5" / "across.png")
    (photos / "kind 0" / "notes.txt").write_text("no image")
    content = found(monkeypatch, capsys, photos)
    assert (content["images"], len(content["classes"]), content["lost"]) == (243, 30, 0)
    assert content["left_out"][0]["kind"] == "suffix .txt is not an image's"
    looked = content["looked_into"]
    assert looked["images"] == 243 and looked["formats"] == {"PNG": 243}
    assert looked["width"] == {"least": 24, "median": 24, "most": 24}
    assert looked["duplicates_within"] == [["kind 1/0.png", "kind 1/twice.png"]]
    assert looked["duplicates_across"] == [["kind 2/0.png", "kind 5/across.png"]]
    [one] = content["labels"]["suspicious"]
    assert (one["path"], one["class"], one["suggested"]) == (
        "kind 7/wrong.png", "kind 7", "kind 3",
    )  # fmt: skip
    assert content["labels"]["by"] == "plain pixels" and content["labels"]["agreement"] > 0.95
    assert (content["framing"]["mode"], content["framing"]["channels"]) == ("crop", 3)
    assert sum(one["classes"] for one in content["splits"].values()) == 30
    assert [stage["stage"] for stage in content["costs"]["stages"]] == ["prepare"]
    assert content["next"].startswith("headstart inspect ")


def test_text_needs_no_project_and_ends_with_what_to_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(monkeypatch, "photos") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == "240 images of 30 classes"
    assert any("no params.yaml here or above" in line for line in shown)
    last = "next: headstart inspect photos --write start.yaml && headstart run --recipe start.yaml"
    assert shown[-1] == last
    assert max(map(len, shown[:-1])) <= 80
    assert not (here / "start.yaml").exists()


def test_a_page_escapes_every_name_and_asks_no_network(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "photos" / "kind 4").rename(here / "photos" / HOSTILE)
    photograph(3, 99).save(here / "photos" / HOSTILE / f"{HOSTILE}.png")
    shutil.copy(here / "photos" / "kind 1" / "0.png", here / "photos" / HOSTILE / "double.png")
    (here / "photos" / "kind 0" / "notes.<script>").write_text("no image")
    words = ("--no-timing", "--page", "look.html")
    assert inspect(monkeypatch, "photos", *words) == 0
    text = (here / "look.html").read_text(encoding="utf-8")
    page = Links(text)
    assert not page.open
    assert page.links and all(link.startswith("data:image/") for link in page.links)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert "url(" not in text and "@import" not in text
    assert "<img src=x onerror=alert(1)>" in page.text and "{{ 7*7 }}" in page.text
    assert "\x1b" not in text and "\u202e" not in text
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out and "\u202e" not in shown.out
    assert "headstart: page: look.html" in shown.err


def check_prepare(folder: Path, recipe: Path) -> Params:
    """Prepare the images by a recipe, laid over the committed params."""
    sections = overridden(read_sections(ROOT / "params.yaml"), [recipe_layer(recipe)])
    assert sections["prepare"]["watch"] == ["root"]
    sections["prepare"]["watch"] = []  # which is another stage's work
    params = write_params(folder, sections)
    assert os.path.isabs(params.prepare.root) and params.prepare.domains == []  # noqa: PTH117
    prepare(params, untracked)
    return params


@pytest.mark.parametrize("kind", ["photographs", "drawings", "few", "groups", "small", "spoilt"])
def test_what_is_written_loads_and_prepares(
    project: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    photos = project / "photos"
    monkeypatch.setenv(FOLDER_VARIABLE, str(project / "cache"))
    shutil.rmtree(photos)
    if kind == "drawings":
        for letter in range(80):
            (photos / f"letter {letter}").mkdir(parents=True)
            for number in range(3):
                drawing(letter, number).save(photos / f"letter {letter}" / f"{number}.png")
    elif kind == "groups":
        for group in range(6):
            write_classes(photos / f"group {group}", 4, 4)
            for number, file in enumerate(sorted(photos.glob(f"group {group}/*/*.png"))):
                photograph(100 * group + number, 0).save(file)
    else:
        sizes = {"few": (6, 8), "small": (40, 2)}
        write_classes(photos, *sizes.get(kind, (30, 24)))
    if kind == "spoilt":
        for number in range(12):
            (photos / "kind 1" / f"{number}.png").write_bytes(b"damage")
            (photos / f"kind {number}" / "0.png").write_bytes(b"damage")
    recipe = project / "start.yaml"
    assert inspect(monkeypatch, "photos", "--write", recipe, "--no-timing") == 0
    params = check_prepare(project, recipe)
    store = ImageStore(PREPARED)
    assert store.manifest["framing"] == ("ink" if kind == "drawings" else "crop")
    assert store.channels == (1 if kind == "drawings" else 3)
    assert params.prepare.splits.by == ("group" if kind == "groups" else "share")
    assert all(len(classes) >= 2 for classes in store.class_sizes().values())


def test_no_file_is_replaced_unasked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = project / "mine.yaml"
    recipe.write_text("mine")
    words = ("photos", "--no-timing", "--write", "mine.yaml")
    assert inspect(monkeypatch, *words) == 2
    told = capsys.readouterr()
    assert "mine.yaml: is there already; name another file, or add --force" in told.err
    assert recipe.read_text() == "mine" and not told.out
    assert inspect(monkeypatch, *words, "--force") == 0
    assert recipe.read_text().startswith(
        f"# {project}/photos: 240 images of 30 classes; written by"
    )
    assert capsys.readouterr().out.splitlines()[-1] == "next: headstart run --recipe mine.yaml"
    assert load_params(project / "params.yaml")  # which stays as it was


def test_too_few_classes_are_told_after_all_else_and_nothing_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in range(4, 30):
        shutil.rmtree(project / "photos" / f"kind {kind}")
    assert inspect(monkeypatch, "photos", "--write", "few.yaml", "--page", "few.html") == 2
    told = capsys.readouterr()
    assert "32 images of 4 classes" in told.out and "too few: found one class of" in told.out
    assert "headstart: few.yaml: not written: no run is possible: found one class" in told.err
    assert not (project / "few.yaml").exists() and (project / "few.html").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("nowhere",), "nowhere: cannot be read: No such file or directory; needed a folder"),
        (("",), "an empty name: cannot be read"),
        (("photos", "--source", "glyphs"), "--source: found glyphs, needed one of image_folder"),
        (("photos", "--source", "torchvision"), "--dataset: names a dataset of --source"),
        (("none", "--source", "omniglot"), "none: nothing there to look at"),
        (("photos", "--bundle", "none"), "none"),
        (("photos", "--page", "photos.zip"), "--page: found photos.zip, needed a name ending in"),
        (("photos", "--page", "no/where.html"), "--page: no: no such folder"),
        (("photos", "--write", "folder.yaml"), "--write: folder.yaml: is a folder, needed a file"),
    ],
)
def test_faults_are_told_in_one_line_before_any_work(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    line: str,
) -> None:
    (here / "folder.yaml").mkdir()
    assert inspect(monkeypatch, *words) == 2
    told = capsys.readouterr()
    lines = [one for one in told.err.splitlines() if one.startswith("headstart: ")]
    assert len(lines) == 1 and line in lines[0] and not told.out


def test_params_that_are_not_valid_are_told_and_stop_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "params.yaml").write_text("seed: none\n")
    content = found(monkeypatch, capsys, "photos")
    assert any("params.yaml: seed" in remark for remark in content["remarks"])
    assert content["start"]["prepare"]["framing"] == "crop"


def test_the_better_of_pixels_and_bundle_compares_images(
    project: Path,
    golden_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = found(monkeypatch, capsys, "photos", "--bundle", golden_bundle)
    assert content["labels"]["by"] == "plain pixels"  # which suit these pictures
    monkeypatch.setattr(
        "flows.inspecting.inspection.pixel_features",
        lambda _, positions: np.ones((len(positions), 1), np.float32),
    )
    content = found(monkeypatch, capsys, "photos", "--bundle", golden_bundle)
    assert content["labels"]["by"].startswith("the encoder of bundle ")


def test_thousands_of_classes_are_sampled_and_stay_readable(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pixels = np.random.default_rng(0)
    with ZipFile(project / "many.zip", "w") as archive:
        for number in range(6000):
            file = BytesIO()
            image = Image.fromarray(pixels.integers(0, 256, (8, 8, 3), np.uint8))
            image.save(file, "BMP")
            archive.writestr(f"class {number // 2}/{number % 2}.bmp", file.getvalue())
    words = ("--no-timing", "--page", "many.html", "--write", "many.yaml")
    assert inspect(monkeypatch, "many.zip", *words) == 0
    assert "looking into images 100 % (2000/2000)" in caplog.text  # and into no more
    shown = capsys.readouterr().out.splitlines()
    assert "6,000 images of 3,000 classes" in shown and len(shown) < 120
    assert (project / "many.html").stat().st_size < 2_000_000


def test_a_few_steps_of_training_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_BUDGET_S", 0.01)
    params = write_params(tmp_path, TINY)
    timed = timing.time_steps(params, 10)
    times = (timed.pretrain_step_s, timed.metatrain_step_s, timed.embed_image_s)
    assert all(seconds > 0 for seconds in (*times, *timed.protocol_episode_s))
    assert len(timed.protocol_episode_s) == 3 and timed.width == 8
    assert timed.peak_bytes > 50_000_000
