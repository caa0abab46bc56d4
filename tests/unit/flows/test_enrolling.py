import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from flows.enrolling import Changes, enroll
from tasks.progress import Track, untracked

T = TypeVar("T")
Run = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("pear/1.png", "pear/2.png", "gala apple/1.png", "more/3.png", "query.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return tmp_path


@pytest.fixture
def run(folder: Path, golden_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(folder / "images")

    def start(command: str, *words: object) -> int:
        line = ["headstart", command, "--bundle", golden_bundle, "--head", folder / "shop.npz"]
        monkeypatch.setattr("sys.argv", [str(word) for word in (*line, *words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return start


def test_a_head_is_made_added_to_and_used(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("enroll", "--name", "gala apple", "gala apple/1.png") == 0
    assert run("enroll", "--name", "pear", "pear", "more/3.png") == 0
    assert run("enroll", "--name", "pear", "pear/1.png") == 0
    capsys.readouterr()
    assert run("predict", "--query", "gala apple/1.png", "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["class"] == "gala apple" and set(answer["probabilities"]) == {
        "gala apple",
        "pear",
    }


def test_without_changes_it_lists_what_the_head_holds(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("enroll", "--support", ".", "--rename", "a", "b") == 2
    assert "'a': no such class" in capsys.readouterr().err
    run("enroll", "--support", ".")
    capsys.readouterr()
    assert run("enroll") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["class", "images"],
        ["gala", "apple", "1"],
        ["more", "1"],
        ["pear", "2"],
    ]
    assert run("enroll", "--json") == 0
    assert json.loads(capsys.readouterr().out)[2] == {"class": "pear", "images": 2}


def test_classes_are_forgotten_and_renamed_before_others_are_added(
    run: Run, folder: Path, golden_bundle: Path
) -> None:
    run("enroll", "--support", ".")
    words = ("--forget", "pear", "--forget", "more", "--rename", "gala apple", "pear")
    assert run("enroll", *words, "--name", "pear", "pear/1.png") == 0
    assert enroll(golden_bundle, folder / "shop.npz", Changes(), untracked) == {"pear": 2}


def test_a_head_and_a_support_are_used_together(
    run: Run, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    run("enroll", "--name", "kiwi", "query.png")
    (folder / "one" / "pear").mkdir(parents=True)
    (folder / "images/pear/1.png").rename(folder / "one/pear/1.png")
    capsys.readouterr()
    assert run("predict", "--support", folder / "one", "--query", "query.png", "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert list(answer["probabilities"]) == ["kiwi", "pear"] and answer["unknown"] is False


def test_a_head_of_one_class_has_no_runner_up(run: Run, capsys) -> None:
    run("enroll", "--name", "kiwi", "query.png")
    capsys.readouterr()
    assert run("predict", "--query", "query.png") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["query.png", "kiwi", "100.0"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--name", "x"), "found --name without images, needed both"),
        (("query.png",), "found images without --name, needed both"),
        ((), "shop.npz: no head file here"),
        (("--name", "", "query.png"), "found the class name '', needed a text"),
        (("--name", "x", "gone.png"), "gone.png: cannot be read: No such file"),
        (("--name", "x", "."), ""),
        (("--support", "pear"), "pear: found no class, needed one or more folders"),
        (("--forget", "x"), "'x': no such class; enrolled: none"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_no_file(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    code = run("enroll", *words)
    told = [one for one in capsys.readouterr().err.splitlines() if one.startswith("headstart: ")]
    if not line:
        assert (code, told) == (0, [])
        return
    assert code == 2 and len(told) == 1 and line in told[0]
    assert not (folder / "shop.npz").exists()


def test_enrolling_at_once_loses_no_image(
    folder: Path, golden_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head = folder / "shop.npz"
    inside, go_on = threading.Event(), threading.Event()

    def slow(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        inside.set()
        assert go_on.wait(60)
        yield from items

    def add(name: str, track: Track) -> None:
        picture = folder / "images/query.png"
        enroll(golden_bundle, head, Changes(name=name, images=[picture]), track)

    first = threading.Thread(target=add, args=("first", slow))
    first.start()
    assert inside.wait(60)
    others = [threading.Thread(target=add, args=(f"{n}", untracked)) for n in range(3)]
    for thread in others:
        thread.start()
    with caplog.at_level(logging.INFO, "flows"):
        others[0].join(2)
    assert not head.exists() and "waiting for another `headstart enroll`" in caplog.text
    go_on.set()
    for thread in (first, *others):
        thread.join(60)
    found = enroll(golden_bundle, head, Changes(), untracked)
    assert next(iter(found)) == "first" and found == dict.fromkeys(["first", "0", "1", "2"], 1)


def test_a_head_that_is_a_link_is_changed_where_it_lies(
    run: Run, folder: Path, golden_bundle: Path
) -> None:
    (folder / "heads").mkdir()
    (folder / "shop.npz").symlink_to("heads/real.npz")
    assert run("enroll", "--name", "a", "query.png") == 0
    assert run("enroll", "--name", "b", "query.png") == 0
    assert (folder / "shop.npz").is_symlink()
    real = folder / "heads/real.npz"
    assert enroll(golden_bundle, real, Changes(), untracked) == {"a": 1, "b": 1}


def test_where_no_head_can_be_written_nothing_is_left(run: Run, folder: Path, capsys) -> None:
    (folder / "shop.npz").symlink_to("gone/real.npz")
    assert run("enroll", "--name", "a", "query.png") == 2
    assert "cannot be written: found no folder" in capsys.readouterr().err
    assert not (folder / "gone").exists()
    (folder / "shop.npz").unlink()
    (folder / "shop.npz").mkdir()
    for words in ((), ("--name", "a", "query.png")):
        assert run("enroll", *words) == 2
        assert "shop.npz: cannot be read: Is a directory" in capsys.readouterr().err


def test_a_damaged_head_is_told_and_kept(run: Run, folder: Path, capsys) -> None:
    (folder / "shop.npz").write_bytes(b"PK damaged")
    for command, words in (("enroll", ("--name", "x")), ("predict", ("--query",))):
        assert run(command, *words, "query.png") == 2
        told = capsys.readouterr().err
        assert "shop.npz: found no plain .npz file" in told and "Traceback" not in told
    assert (folder / "shop.npz").read_bytes() == b"PK damaged"
