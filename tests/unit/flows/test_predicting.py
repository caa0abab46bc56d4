import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from flows.cli import main
from flows.predicting import Answer, answers_json, answers_table, predict
from tasks.errors import DataError
from tasks.progress import untracked
from tests.bomb import png_header

CLASSES = ("a[red]b", "Ω \x1b[31m", "c")


def draw(path: Path, kind: int, size: tuple[int, int]) -> None:
    """A drawing of a class on paper of any size: a bar, a frame, a diagonal."""
    width, height = size
    image = np.full((height, width, 3), 250, np.uint8)
    rows, columns = np.mgrid[0:height, 0:width]
    inner = (abs(rows - height // 2) < height // 3) & (abs(columns - width // 2) < width // 3)
    bar = abs(rows - height // 2) < height // 9
    core = (abs(rows - height // 2) < height // 5) & (abs(columns - width // 2) < width // 5)
    diagonal = abs(rows * width - columns * height) < width * height // 8
    figure = inner & (bar if kind == 0 else ~core if kind == 1 else diagonal)
    image[figure] = 20
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for kind, name in enumerate(CLASSES):
        draw(tmp_path / "support" / name / "1.png", kind, (40, 52))
        draw(tmp_path / "support" / name / "2.png", kind, (61, 61))
        draw(tmp_path / "queries" / f"[bold]{kind}.png", kind, (47, 50))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, bundle: Path, folder: Path, *words: object) -> int:
    command = ["headstart", "predict", "--bundle", bundle, "--support", folder / "support"]
    monkeypatch.setattr("sys.argv", [str(one) for one in (*command, *words)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_images_of_many_sizes_are_named_by_the_classes_of_the_support(
    golden_bundle: Path, folders: Path
) -> None:
    answers = predict(golden_bundle, folders / "support", [folders / "queries"], untracked)
    assert [answer.path.name for answer in answers] == [f"[bold]{kind}.png" for kind in range(3)]
    assert [answer.ranked[0][0] for answer in answers] == list(CLASSES)
    for answer in answers:
        assert sum(probability for _, probability in answer.ranked) == pytest.approx(1, abs=1e-5)


def test_names_are_shown_as_they_are_and_steer_no_terminal(
    golden_bundle: Path,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run(monkeypatch, golden_bundle, folders, "--query", folders / "queries") == 0
    shown = capsys.readouterr().out
    assert "a[red]b" in shown and "[bold]0.png" in shown and "Ω \N{REPLACEMENT CHARACTER}" in shown
    assert "\x1b" not in shown


def test_json_holds_every_probability_and_nothing_else_goes_to_stdout(
    golden_bundle: Path,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    query = folders / "queries" / "[bold]1.png"
    assert run(monkeypatch, golden_bundle, folders, "--query", query, query, "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == second
    assert first["query"] == str(query)
    assert set(first["probabilities"]) == set(CLASSES)
    assert first["class"] == max(first["probabilities"], key=first["probabilities"].get)


def one_class(folder: Path) -> None:
    for name in CLASSES[1:]:
        (folder / "support" / name).rename(folder / name)


def no_class(folder: Path) -> None:
    (folder / "support").rename(folder / "elsewhere")
    (folder / "support").mkdir()


def bomb(folder: Path) -> None:
    (folder / "queries" / "bomb.png").write_bytes(png_header(30_000, 30_000))


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (one_class, "support: found one class only (a[red]b), needed two or more folders"),
        (no_class, "support: found no class, needed two or more folders, one a class"),
        (lambda at: (at / "support").rename(at / "x"), "support: cannot be read as a folder: No"),
        (lambda at: (at / "support" / "d").mkdir(), "d: no image in this class; put one there"),
        (lambda at: (at / "queries" / "x.png").write_text("x"), "x.png: not an image; needed one"),
        (bomb, "bomb.png: "),
        (lambda at: (at / "queries").rename(at / "x"), "queries: cannot be read: No such file"),
        (lambda at: (at / "queries" / "sub").mkdir(), ""),
    ],
)
def test_bad_input_is_told_in_one_line_that_names_it(
    golden_bundle: Path,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    line: str,
) -> None:
    spoil(folders)
    code = run(monkeypatch, golden_bundle, folders, "--query", folders / "queries")
    told = [one for one in capsys.readouterr().err.splitlines() if one.startswith("headstart: ")]
    if not line:
        assert (code, told) == (0, [])
        return
    assert code == 2
    assert len(told) == 1 and f"{folders}" in told[0] and line in told[0]


def test_a_query_folder_without_images_is_told(
    golden_bundle: Path, folders: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (folders / "empty").mkdir()
    assert run(monkeypatch, golden_bundle, folders, "--query", folders / "empty") == 2
    assert "empty: no image in this folder" in capsys.readouterr().err


def test_a_damaged_bundle_is_told(
    bundle_copy: Path, folders: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (bundle_copy / "encoder.onnx").write_bytes(b"damage")
    assert run(monkeypatch, bundle_copy, folders, "--query", folders / "queries") == 2
    told = capsys.readouterr().err
    assert "encoder.onnx: damaged: its content differs" in told and "Traceback" not in told


def test_a_table_has_the_best_class_and_the_runner_up() -> None:
    answer = Answer(Path("q.png"), (("a", 0.75), ("b", 0.25), ("c", 0.0)))
    console = Console(width=80, record=True, file=None)
    with console.capture() as captured:
        console.print(answers_table([answer]))
    assert captured.get().splitlines()[1].split() == ["q.png", "a", "75.0", "b", "25.0"]
    assert answers_json([answer])[0]["probability"] == 0.75


def test_a_query_below_the_threshold_is_unknown(
    bundle_copy: Path,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = bundle_copy / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "unknown": {"score": "similarity", "threshold": 1}}))
    query = ("--query", folders / "queries" / "[bold]0.png")
    assert run(monkeypatch, bundle_copy, folders, *query, "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["class"], answer["unknown"]) == (None, True)
    assert answer["probability"] == max(answer["probabilities"].values())
    monkeypatch.setenv("COLUMNS", "400")
    assert run(monkeypatch, bundle_copy, folders, *query) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert "(unknown)" in row and f"{100 * answer['probability']:.1f}" in row


def test_no_classes_at_all_are_told(golden_bundle: Path, folders: Path) -> None:
    with pytest.raises(DataError, match="needed --support FOLDER, --head FILE or both"):
        predict(golden_bundle, None, [folders / "queries"], untracked)
