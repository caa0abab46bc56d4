import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from flows.cli import main
from flows.image_folders import find_classes
from flows.scoring import Plan, Score, _draw, score, score_table
from tasks.errors import DataError
from tasks.progress import untracked

PLAN = Plan(way=2, shot=1, queries=1, episodes=12, within_group=False, seed=1)


def plan(**changes: object) -> Plan:
    return Plan(**{**PLAN.__dict__, **changes})


def write_classes(root: Path, group: str, classes: int, images: int = 3) -> None:
    """Classes that differ by the angle of a bar, in a hand that shakes a little."""
    rng = np.random.default_rng(len(group))
    rows, columns = np.mgrid[-15:16, -15:16]
    for index in range(classes):
        folder = root / group / f"class {index}"
        folder.mkdir(parents=True)
        for number in range(images):
            angle = np.pi * index / classes + rng.normal(0, 0.02)
            across = abs(rows * np.cos(angle) + columns * np.sin(angle))
            ink = (across < 3) & (np.hypot(rows, columns) < 13)
            Image.fromarray(np.where(ink, 30, 240).astype(np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def grouped(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for group, classes in (("one", 3), ("two[x]", 2), ("small", 1)):
        write_classes(root, group, classes)
    return root


def test_easy_classes_score_high_and_the_same_seed_the_same(
    golden_bundle: Path, grouped: Path
) -> None:
    found = score(golden_bundle, grouped, PLAN, untracked)
    assert found.accuracy > 0.6 and 0 <= found.interval95 < 0.4
    assert (found.classes, found.images, found.left_out) == (6, 18, {})
    assert found == score(golden_bundle, grouped, PLAN, untracked)


def test_within_group_leaves_out_groups_that_are_too_small_and_says_why(
    golden_bundle: Path, grouped: Path
) -> None:
    found = score(golden_bundle, grouped, plan(within_group=True), untracked)
    assert found.groups == ["one", "two[x]"]
    assert found.left_out == {
        "small": "found 1 classes of at least 2 images (shot + queries), needed 2 (way)"
    }
    console = Console(width=100)
    with console.capture() as captured:
        console.print(score_table(found, "b[red]"))
    shown = captured.get()
    assert "small: found 1 classes" in shown and "b[red]" in shown and "in 2 groups" in shown


def test_episodes_stay_in_their_group_and_are_spread_evenly(grouped: Path) -> None:
    pools = {group: [] for group in ("one", "two[x]")}
    for one in find_classes(grouped):
        if one.group in pools:
            pools[one.group].append(one)
    drawn = list(_draw(pools, plan(within_group=True, episodes=7)))
    first_group = [set(np.concatenate([*support, *query])) for support, query in drawn[:4]]
    assert all(rows <= set(range(9)) for rows in first_group)
    second_group = [set(np.concatenate([*support, *query])) for support, query in drawn[4:]]
    assert all(rows <= set(range(9, 15)) for rows in second_group)
    assert len(drawn) == 7
    for support, query in drawn:
        assert not set(support.ravel()) & set(query.ravel())


def test_classes_may_stand_without_groups(golden_bundle: Path, grouped: Path) -> None:
    found = score(golden_bundle, grouped / "one", PLAN, untracked)
    assert (found.classes, found.groups) == (3, [])


def mix(root: Path) -> None:
    write_classes(root, ".", 1)


@pytest.mark.parametrize(
    ("spoil", "changes", "line"),
    [
        (lambda root: root.rename(root.parent / "x"), {}, "cannot be read as a folder"),
        (mix, {}, "holds classes and groups of classes"),
        (lambda root: (root / "one" / "empty").mkdir(), {}, "empty: no image in this class"),
        (lambda root: (root / "one" / "a.png").touch(), {}, "one: holds images and folders"),
        (Path.exists, {"way": 7}, "found 6 classes of at least 2 images .* needed 7"),
        (Path.exists, {"queries": 3}, "found 0 classes of at least 4 images"),
        (Path.exists, {"way": 4, "within_group": True}, "one: found 3 classes"),
        (
            lambda root: (root / "one" / "class 0" / "0.png").write_text("x"),
            {},
            "class 0/0.png: not an image",
        ),
    ],
)
def test_folders_that_give_no_episode_are_told(
    golden_bundle: Path,
    grouped: Path,
    spoil: Callable[[Path], object],
    changes: dict[str, object],
    line: str,
) -> None:
    spoil(grouped)
    with pytest.raises(DataError, match=line) as told:
        score(golden_bundle, grouped, plan(**changes), untracked)
    assert "\n" not in str(told.value)


def test_groups_are_needed_to_stay_within_them(golden_bundle: Path, grouped: Path) -> None:
    with pytest.raises(DataError, match="found classes without groups"):
        score(golden_bundle, grouped / "one", plan(within_group=True), untracked)


def test_the_command_prints_json_alone_on_stdout(
    golden_bundle: Path,
    grouped: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--bundle", golden_bundle, "--images", grouped, "--way", 2, "--episodes", 6]
    monkeypatch.setattr("sys.argv", [str(one) for one in ("headstart", "score", *words, "--json")])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)
    assert (found["way"], found["episodes"], found["within_group"]) == (2, 6, False)
    assert set(found) == {*Plan.__annotations__, *Score.__annotations__} - {"plan"}
