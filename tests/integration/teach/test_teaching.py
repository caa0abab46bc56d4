"""Every way to teach the page, and every way back."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.teach.lessons import HOSTILE, NAMES, SHOT
from tests.teach_page import START_MS, Teach

pytestmark = pytest.mark.slow


def test_the_name_of_a_class_is_text(teach: Teach, digits: dict[str, list[Path]]) -> None:
    teach.add(HOSTILE, digits["two"][:1])
    teach.add("three", digits["three"][:1])
    teach.ask(digits["two"][1:2])
    expect(teach.page.get_by_label("Name of the class").first).to_have_value(HOSTILE)
    expect(teach.page.get_by_role("list", name="Confidence of each class")).to_contain_text(HOSTILE)
    assert teach.page.locator("img[src=x]").count() == 0
    assert teach.page.title() == "Teach glyphs"
    assert not teach.faults


def test_removing_undoing_and_redoing_change_what_is_learned(taught: Teach) -> None:
    taught.pictures("three").first.hover()
    taught.page.get_by_role("button", name=re.compile("^Remove three-.* from three$")).first.click()
    expect(taught.status).to_contain_text("Learned 3 classes from 11 pictures")
    taught.button("Forget two").click()
    expect(taught.status).to_contain_text("Learned 2 classes from 7 pictures")
    taught.button("Undo").click()
    expect(taught.status).to_contain_text("Undone: forgot two. Learned 3 classes from 11 pictures")
    taught.page.keyboard.press("Control+z")
    expect(taught.status).to_contain_text("Learned 3 classes from 12 pictures")
    taught.page.keyboard.press("Control+z")  # all files of one choice at once
    expect(taught.status).to_contain_text("Learned 2 classes from 8 pictures")
    taught.button("Redo").click()
    expect(taught.status).to_contain_text("Learned 3 classes from 12 pictures")
    for _ in range(6):
        taught.button("Undo").click()
    expect(taught.status).to_contain_text("Nothing taught yet")
    expect(taught.button("Undo")).to_be_disabled()


def test_a_class_is_renamed_and_no_two_share_a_name(taught: Teach) -> None:
    name = taught.page.get_by_label("Name of the class").first
    name.fill("deux")
    name.press("Enter")
    expect(taught.button("Add pictures to deux")).to_be_visible()
    name.fill("three")
    name.press("Enter")
    expect(taught.notices).to_contain_text("There is a class three already")
    expect(name).to_have_value("deux")


def test_a_file_that_is_no_picture_is_told_and_the_others_are_learned(
    teach: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(digits["two"][0].read_bytes()[:60])
    (tmp_path / "empty.jpg").write_bytes(b"")
    teach.add("two", [])
    files = [digits["two"][0], *sorted(tmp_path.glob("*.*")), digits["two"][1]]
    teach.choose("Add pictures to two", files)
    expect(teach.notices).to_contain_text("Skipped 3 files")
    expect(teach.notices).to_contain_text("notes.txt (no picture that this browser can read)")
    expect(teach.notices).to_contain_text("empty.jpg (empty file)")
    expect(teach.pictures("two")).to_have_count(2)
    teach.button("Dismiss").click()
    expect(teach.notices).to_be_empty()


def test_pictures_are_dropped_and_pasted(teach: Teach, digits: dict[str, list[Path]]) -> None:
    pictures = [(path.name, path.read_bytes()) for path in digits["two"][:3]]
    teach.drop("#folders", pictures[:1])
    expect(teach.pictures("class 1")).to_have_count(1)
    teach.drop(".card", pictures[1:2])
    expect(teach.pictures("class 1")).to_have_count(2)
    teach.button("Add pictures to class 1").focus()
    teach.paste(":focus", pictures[2:])
    expect(teach.pictures("class 1")).to_have_count(3)
    teach.drop("#stage", pictures[:1])
    expect(teach.tiles).to_have_count(1)
    teach.page.get_by_role("heading", name="Try it").click()
    teach.paste("body", pictures[1:2])
    expect(teach.tiles).to_have_count(2)


DROP_ENTRIES = """async ([count, broken, picture]) => {
    const entry = (name, content) => ({
        isFile: true,
        name,
        file: (done, fail) =>
            content ? done(new File(content, name)) : fail(new Error("it was moved")),
    });
    const bytes = new Uint8Array(picture);
    const entries = [...Array(count)].map((_, at) => entry(`${at}.png`, at ? [] : [bytes]));
    if (broken) entries.splice(0, 0, entry("gone.png", null));
    const event = new Event("drop", {bubbles: true, cancelable: true});
    const items = entries.map((one) => ({kind: "file", webkitGetAsEntry: () => one}));
    event.dataTransfer = {types: ["Files"], items};
    document.querySelector("#folders").dispatchEvent(event);
}"""


def test_a_dropped_file_that_cannot_be_read_is_told_and_the_others_are_taken(
    teach: Teach, digits: dict[str, list[Path]]
) -> None:
    teach.page.evaluate(DROP_ENTRIES, [1, True, list(digits["two"][0].read_bytes())])
    expect(teach.pictures("class 1")).to_have_count(1)
    expect(teach.notices).to_contain_text("Skipped 1 file: gone.png (it was moved)")
    assert not teach.faults


def test_files_beyond_the_most_are_told(teach: Teach, digits: dict[str, list[Path]]) -> None:
    teach.page.evaluate(DROP_ENTRIES, [5001, False, list(digits["two"][0].read_bytes())])
    expect(teach.notices).to_contain_text("Only the first 5000 files were taken")
    expect(teach.notices).to_contain_text("Skipped 4999 files", timeout=START_MS)
    expect(teach.pictures("class 1")).to_have_count(1)


def test_a_folder_becomes_a_class_of_its_name(
    teach: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    for name in NAMES[:2]:
        (tmp_path / "support" / name).mkdir(parents=True)
        for path in digits[name][:2]:
            shutil.copy(path, tmp_path / "support" / name)
    (tmp_path / "support" / "two" / ".hidden").write_text("left by a file manager")
    with teach.page.expect_file_chooser() as chooser:
        teach.button("Choose a folder").click()
    chooser.value.set_files(tmp_path / "support")
    for name in NAMES[:2]:
        expect(teach.pictures(name)).to_have_count(2)
    expect(teach.notices).to_be_empty()


def test_a_wrong_answer_is_taught_with_one_press(
    taught: Teach, digits: dict[str, list[Path]]
) -> None:
    taught.ask(digits["seven"][SHOT : SHOT + 1])
    taught.button("Teach this picture as seven").click()
    expect(taught.pictures("seven")).to_have_count(SHOT + 1)
    expect(taught.status).to_contain_text("Learned 3 classes from 13 pictures")


def test_the_camera_answers_live_and_teaches(teach: Teach, digits: dict[str, list[Path]]) -> None:
    teach.add("two", digits["two"][:2])
    teach.button("Start camera").click()
    teach.add("camera", [])
    teach.button("Take picture for camera").click()
    expect(teach.pictures("camera")).not_to_have_count(0)
    teach.button("Take picture for camera").press("Enter")
    expect(teach.pictures("camera")).not_to_have_count(1)
    expect(teach.page.locator("#verdict")).to_contain_text("%")
    expect(teach.page.get_by_label("Live camera")).to_be_visible()
    teach.button("Stop camera").click()
    expect(teach.page.get_by_label("Live camera")).to_be_hidden()
    assert not teach.faults


def test_a_drawing_is_taught_and_tried(teach: Teach, digits: dict[str, list[Path]]) -> None:
    teach.add("stroke", [])
    teach.button("Draw for stroke").click()
    draw_stroke(teach.page)
    teach.button("Use drawing").click()
    expect(teach.pictures("stroke")).to_have_count(1)
    teach.button("Close").click()
    teach.add("two", digits["two"][:2])
    teach.button("Draw").click()
    draw_stroke(teach.page)
    teach.button("Use drawing").click()
    expect(teach.page.locator("#verdict")).to_contain_text("stroke")


def draw_stroke(page: Page) -> None:
    box = page.locator("#paper").bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 250, steps=5)
    page.mouse.up()
