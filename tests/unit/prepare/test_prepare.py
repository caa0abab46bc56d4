import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.artifacts.files import sha256
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import PREPARED
from tasks.errors import DataError, ParametersError
from tasks.framing.graph import Framing
from tasks.params import Params
from tasks.prepare import letters
from tasks.prepare.letters import ScriptSplits, split_by_script
from tasks.prepare.rendering import frame_digits, render_part, rendering_pool
from tasks.prepare.stage import prepare
from tasks.progress import untracked
from tasks.sources import digits, typefaces
from tasks.sources.quarter_turns import Turned
from tests.conftest import TINY, merged, write_params

FEW = {
    "prepare": {
        "splits": {"base": ["ARMENIAN"], "validation": ["HEBREW"], "novel": ["LAO"]},
    }
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    monkeypatch.chdir(tmp_path)

    def make(**changes: Any) -> Params:
        return write_params(tmp_path, merged(TINY, FEW), changes)

    return make


def test_the_store_holds_disjoint_splits_and_the_digits(project: Callable[..., Params]) -> None:
    prepare(project(), untracked)
    store = ImageStore(PREPARED)
    assert store.domains == ("novel", "digits")
    names = [{one.name for one in store.classes(part)} for part in ("base", "validation", "novel")]
    assert all(names) and not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])
    assert {one.group for one in store.classes("novel")} == {"LAO"}
    novel = store.read("novel")
    assert novel.images.shape[1:] == (16, 16, 1)
    assert (np.bincount(novel.labels) == 8).all()
    assert len(store.read("digits").images) == 1797


def test_a_second_run_gives_the_same_bytes(project: Callable[..., Params]) -> None:
    params = project()
    prepare(params, untracked)
    first = {path.name: sha256(path) for path in PREPARED.iterdir()}
    prepare(params, untracked)
    assert {path.name: sha256(path) for path in PREPARED.iterdir()} == first


def test_how_many_processes_render_changes_nothing() -> None:
    few = typefaces.letters(typefaces.folder(), 12)[:20]
    turns: tuple[Turned, ...] = (0, 90)
    framing = Framing("ink", 16, 1)
    stores = []
    for cores in (1, 3):
        with rendering_pool(cores) as pool:
            stores.append(
                render_part(
                    [(letter, turned) for letter in few for turned in turns],
                    typefaces.folder(),
                    framing,
                    pool,
                    untracked,
                    label="",
                    seed=1,
                    samples=4,
                )
            )
    assert np.array_equal(stores[0].images, stores[1].images)


def three_scripts(
    base: str,
    validation: str,
    novel: str,
    minimum_typefaces: int,
    maximum_similarity: float,
    *,
    rotated_classes: bool = False,
) -> ScriptSplits:
    return split_by_script(
        typefaces.folder(),
        {"base": [base], "validation": [validation], "novel": [novel]},
        minimum_typefaces=minimum_typefaces,
        maximum_similarity=maximum_similarity,
        rotated_classes=rotated_classes,
    )


def test_look_alikes_of_base_are_never_novel_and_are_listed() -> None:
    splits = three_scripts("LATIN", "GREEK", "CYRILLIC", 8, 0.93)
    novel = {letter.name for letter in splits.letters["novel"]}
    assert "CYRILLIC CAPITAL LETTER ZHE" in novel
    assert "CYRILLIC CAPITAL LETTER A" not in novel
    rejected = {one.class_name: one for one in splits.rejected}
    assert rejected["CYRILLIC CAPITAL LETTER A"].path == "U+0410"
    assert "looks like an earlier letter" in rejected["CYRILLIC CAPITAL LETTER A"].reason


def test_what_was_left_out_is_listed_in_the_store(project: Callable[..., Params]) -> None:
    prepare(project(), untracked)
    with (PREPARED / "rejected.csv").open() as file:
        rejected = list(csv.DictReader(file))
    assert len(rejected) == ImageStore(PREPARED).manifest["rejected"] > 0


def test_an_unknown_script_is_told_with_those_there_are(project: Callable[..., Params]) -> None:
    params = project(prepare={"splits": {"novel": ["KLINGON"]}})
    with pytest.raises(DataError, match="prepare.splits.novel: script KLINGON.*HEBREW"):
        prepare(params, untracked)


def test_more_ways_than_novel_classes_stop_before_rendering(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "rendering_pool", lambda: pytest.fail("rendering began"))
    params = project(evaluate={"protocols": [{"domain": "novel", "way": 500, "shot": 1}]})
    with pytest.raises(ParametersError, match=r"protocols\[0\].way: found 500, needed at most"):
        prepare(params, untracked)
    assert not PREPARED.exists()


def test_the_committed_scripts_give_the_classes_that_were_promised() -> None:
    from tasks.params_file import load_params
    from tests.conftest import ROOT

    section = load_params(ROOT / "params.yaml").prepare
    splits = split_by_script(
        typefaces.folder(),
        section.splits.lists,
        minimum_typefaces=section.glyphs.minimum_typefaces,
        maximum_similarity=section.glyphs.maximum_similarity,
        rotated_classes=section.glyphs.rotated_classes,
    )
    sizes = {split: len(letters) for split, letters in splits.letters.items()}
    assert sum(sizes.values()) >= 1200
    assert sizes == {"base": 941, "validation": 49, "novel": 439}
    assert {split: len(splits.classes(split)) for split in sizes} == {**sizes, "base": 3155}


def test_turned_letters_are_classes_of_base_where_no_letter_looks_like_that() -> None:
    splits = three_scripts("LATIN", "GREEK", "CYRILLIC", 12, 0.95, rotated_classes=True)
    assert set(splits.turned) == set(splits.letters["base"])
    turned = {letter.name: some for letter, some in splits.turned.items()}
    assert turned["LATIN CAPITAL LETTER R"] == [90, 180, 270]
    assert turned["LATIN CAPITAL LETTER E"] == [90, 270]  # turned by 180, it is another letter
    assert turned["LATIN CAPITAL LETTER H"] == [90]  # by 180 it is itself, by 270 itself by 90
    reasons = {one.class_name: one.reason for one in splits.rejected}
    assert "looks like an earlier letter" in reasons["LATIN CAPITAL LETTER H turned 180"]


def test_a_turned_letter_is_the_letter_turned(project: Callable[..., Params]) -> None:
    params = project(
        prepare={
            "splits": {"base": ["LISU"]},
            "glyphs": {"rotated_classes": True, "minimum_typefaces": 4},
        }
    )
    prepare(params, untracked)
    store = ImageStore(PREPARED)
    base = store.read("base")
    images = {one.name: base.images[base.labels == label] for label, one in enumerate(base.classes)}
    turned = [name for name in images if " turned " in name]
    assert {name.rpartition(" ")[2] for name in turned} == {"90", "180", "270"}
    for name in turned:
        upright, _, degrees = name.rpartition(" turned ")
        expected = np.rot90(images[upright], int(degrees) // 90, axes=(1, 2))
        assert np.array_equal(images[name], expected)
    for split in ("validation", "novel"):
        assert not any(" turned " in one.name for one in store.read(split).classes)


def test_a_missing_font_is_one_line_and_the_old_store_stays(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params = project()
    prepare(params, untracked)
    before = sha256(PREPARED / "manifest.json")
    monkeypatch.setattr(typefaces, "folder", lambda: tmp_path / "no fonts")
    with pytest.raises(DataError, match="DejaVuSans.ttf: font not found") as told:
        prepare(params, untracked)
    assert len(str(told.value).splitlines()) == 1
    assert sha256(PREPARED / "manifest.json") == before


def test_no_base_letter_is_one_of_another_splits_script_by_name() -> None:
    splits = three_scripts("MODIFIER", "GREEK", "GEORGIAN", 4, 1.0)
    names = {letter.name for letter in splits.letters["base"]}
    assert names and not any("GREEK" in name or "GEORGIAN" in name for name in names)
    reasons = {one.class_name: one.reason for one in splits.rejected}
    assert "another split (GEORGIAN)" in reasons["MODIFIER LETTER GEORGIAN NAR"]


def test_digits_are_ten_classes_of_dark_ink_on_light_paper() -> None:
    part = frame_digits(*digits.load(), Framing("ink", 28, 1))
    assert [one.images for one in part.classes] == np.bincount(part.labels).tolist()
    corners = part.images[:, [0, 0, -1, -1], [0, -1, 0, -1], 0]
    assert np.median(corners) == 255 and part.images.min() == 0
