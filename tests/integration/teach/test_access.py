"""The teach page serves a keyboard, a screen reader, a phone, and eyes by day and by night."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.teach.lessons import NAMES, SHOT
from tests.teach_page import Teach, open_page

pytestmark = pytest.mark.slow


def test_a_class_is_taught_with_the_keyboard_alone(
    teach: Teach, digits: dict[str, list[Path]]
) -> None:
    keyboard = teach.page.keyboard
    for name in ("two", "three"):
        for _ in range(60):
            keyboard.press("Tab")
            if teach.page.evaluate("document.activeElement.id") == "class-name":
                break
        keyboard.type(name)
        keyboard.press("Enter")
        expect(teach.button(f"Add pictures to {name}")).to_be_focused()
        with teach.page.expect_file_chooser() as chooser:
            keyboard.press("Enter")
        chooser.value.set_files(digits[name][:2])
        expect(teach.pictures(name)).to_have_count(2)
    expect(teach.status).to_contain_text("Learned 2 classes from 4 pictures")
    keyboard.press("Shift+Tab")  # the last picture's button
    expect(teach.page.locator(":focus")).to_have_attribute(
        "aria-label", re.compile(r"^Remove three-\d+\.png from three$")
    )
    keyboard.press("Enter")
    expect(teach.pictures("three")).to_have_count(1)
    expect(teach.page.locator(":focus")).to_have_text("×")


def test_every_control_has_a_role_and_a_name(taught: Teach, digits: dict[str, list[Path]]) -> None:
    taught.ask(digits["two"][SHOT : SHOT + 1])
    page = taught.page
    for name in ("Undo", "Redo", "Load head", "Save head", "Add class", "Forget two", "Draw"):
        expect(taught.button(name)).to_have_count(1)
    for name in NAMES:
        expect(page.get_by_role("group", name=f"Class {name}")).to_have_count(1)
        expect(taught.button(f"Teach this picture as {name}")).to_have_count(1)
    expect(page.get_by_role("region", name="Try it")).to_be_visible()
    expect(page.get_by_role("img", name=digits["two"][SHOT].name)).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, canvas, video, img:not([alt=''])")]
            .filter((one) => one.type !== "file" && !one.hidden)
            .filter((one) => !(one.ariaLabel || one.labels?.length || one.innerText?.trim()
                || one.alt))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_both_schemes(
    scheme: str, browser: Browser, page_file: Path
) -> None:
    with open_page(browser, page_file, color_scheme=scheme) as teach:
        assert luminance(teach.page, "--page") > 0.5 or scheme == "dark"
        for text, ground in (
            ("--ink", "--page"),
            ("--quiet", "--page"),
            ("--quiet", "--card"),
            ("--accent", "--card"),
            ("--accent", "--page"),
            ("--on-accent", "--accent"),
            ("--ink", "--warn"),
            ("--ink", "--tint"),
        ):
            light, dark = sorted(luminance(teach.page, one) for one in (text, ground))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"  # WCAG 2.2, AA


def luminance(page: Page, variable: str) -> float:
    """Relative luminance of a colour of the page, 0..1. Source: WCAG 2.2."""
    colour = page.evaluate(
        "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()", variable
    )
    levels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_a_phone_needs_no_sideways_scrolling(
    browser: Browser, page_file: Path, digits: dict[str, list[Path]]
) -> None:
    with open_page(browser, page_file, viewport={"width": 360, "height": 740}) as teach:
        teach.add("a class with quite a long name" * 3, digits["two"][:6])
        teach.add("W" * 80, digits["three"][:1])
        teach.ask(digits["two"][6:8])
        widths = teach.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths == [360, 360]
