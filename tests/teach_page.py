"""The teach page in a real browser: to open it, and to do what a person does with it."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tasks.artifacts.user_cache import cache_folder
from tasks.errors import DataError
from tasks.export.teach.runtime import WebRuntime, fetch_runtime

START_MS = 60_000


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A Chromium without a window; a test skips where there is none."""
    program = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if program is None:
        pytest.skip("found no chromium, chromium-browser or google-chrome; install one of them")
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if os.getuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


def pinned_runtime() -> WebRuntime:
    """The runtime that the page needs; a test skips where it cannot be had."""
    try:
        return fetch_runtime(cache_folder())
    except DataError as fault:
        pytest.skip(str(fault))


class Teach:
    """What a person does with the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        # Choosers are caught from the start: asking for one at the time of a key press is too late.
        page.on("filechooser", lambda _: None)

    def __enter__(self) -> "Teach":
        return self

    def __exit__(self, *_: object) -> None:
        self.page.context.close()

    def open(self, path: Path) -> None:
        self.page.goto(path.as_uri())
        expect(self.status).to_contain_text("Ready", timeout=START_MS)

    @property
    def status(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def notices(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def tiles(self) -> Locator:
        return self.page.get_by_role("list", name="Pictures tried").get_by_role("listitem")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def pictures(self, name: str) -> Locator:
        return self.page.get_by_role("list", name=f"Pictures of {name}").get_by_role("listitem")

    def settled(self) -> None:
        expect(self.status).to_have_attribute("aria-busy", "false", timeout=START_MS)

    def choose(self, button: str, files: list[Path]) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.button(button).click()
        chooser.value.set_files(files)

    def add(self, name: str, files: list[Path]) -> None:
        self.page.get_by_label("Name of a new class").fill(name)
        self.button("Add class").click()
        if files:
            self.choose(f"Add pictures to {name}", files)
            expect(self.pictures(name)).to_have_count(len(files), timeout=START_MS)
            self.settled()

    def ask(self, files: list[Path]) -> None:
        before = self.tiles.count()
        self.choose("Choose pictures", files)
        expect(self.tiles).to_have_count(before + len(files), timeout=START_MS)
        self.settled()

    def answers(self) -> dict[str, str]:
        """The class that the page gives to each picture tried, by file name."""
        labels = [
            str(one.get_attribute("aria-label"))
            for one in self.page.get_by_role("list", name="Pictures tried").locator(".tile").all()
        ]
        found = [re.fullmatch(r"(.*): ([^,]*)(?:, .*)?", label) for label in labels]
        return {match[1]: match[2] for match in found if match}

    def probabilities(self) -> dict[str, float]:
        """Of the picture that is shown, by class."""
        rows = self.page.get_by_role("list", name="Confidence of each class")
        return {
            one.locator(".bar-name").inner_text().removeprefix("✓ "): float(
                str(one.get_attribute("data-probability"))
            )
            for one in rows.get_by_role("listitem").all()
        }

    def drop(self, selector: str, files: list[tuple[str, bytes]]) -> None:
        self._give(selector, files, "new DragEvent('drop', {dataTransfer: files, ")

    def paste(self, selector: str, files: list[tuple[str, bytes]]) -> None:
        self._give(selector, files, "new ClipboardEvent('paste', {clipboardData: files, ")

    def _give(self, selector: str, files: list[tuple[str, bytes]], event: str) -> None:
        self.page.evaluate(
            """([selector, given]) => {
                const files = new DataTransfer();
                for (const [name, bytes] of given) {
                    files.items.add(new File([new Uint8Array(bytes)], name));
                }
                document.querySelector(selector).dispatchEvent("""
            + event
            + "bubbles: true, cancelable: true}));}",
            [selector, [(name, list(content)) for name, content in files]],
        )


def open_page(browser: Browser, path: Path, **context: Any) -> Teach:
    page = browser.new_context(**context).new_page()
    teach = Teach(page)
    teach.open(path)
    return teach
