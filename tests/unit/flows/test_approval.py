"""A person's word on a terminal, and the summary that comes before it."""

import base64
import io
import sys

import pytest

from flows.approval import Approval, approve_at_once, ask_on_terminal
from flows.release_picture import picture, without_pictures

FIGURES = {
    "novel_5way_1shot": {"name": "novel 5-way 1-shot", "accuracy": 0.9, "interval95": 0.01},
}
COMPARED = {"released_accuracy": 0.88, "difference": 0.02, "difference_interval95": 0.005}


@pytest.mark.parametrize(("typed", "decision"), [("y", "approve"), ("n", "reject"), ("", "reject")])
def test_on_a_terminal_nothing_but_yes_approves(
    typed: str,
    decision: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
    text = "\n".join(["# v0.2.0", *picture(FIGURES), "| figures |"])
    assert ask_on_terminal("v0.2.0", text).decision == decision
    shown = capsys.readouterr().err
    assert "# v0.2.0" in shown and "| figures |" in shown
    assert "base64" not in shown


def test_the_word_names_who_gave_it() -> None:
    assert approve_at_once("v0.2.0", "").words == "approved by --yes"
    said = Approval(decision="reject", by="Ada", comment="too few digits")
    assert said.words == "rejected by Ada: too few digits"
    assert Approval(decision="approve").words == "approved"


@pytest.mark.parametrize("more", [{}, COMPARED])
def test_the_picture_is_an_image_inside_the_text(more: dict[str, float]) -> None:
    figures = {key: one | more for key, one in FIGURES.items()}
    line, blank = picture(figures)
    encoded = line.partition("base64,")[2].removesuffix(")")
    assert base64.b64decode(encoded).startswith(b"\x89PNG")
    assert without_pictures(f"{line}\n{blank}\ntext") == "\ntext"


def test_where_nothing_was_measured_there_is_no_picture() -> None:
    assert list(picture({})) == []
