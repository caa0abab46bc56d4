from pathlib import Path

import pytest
import yaml

from tasks.errors import ParametersError
from tasks.params_file import load_params

COMMITTED = Path(__file__).parents[2] / "params.yaml"


def edited(tmp_path: Path, **changes: object) -> Path:
    """The committed params with dotted keys changed; None removes a key."""
    content = yaml.safe_load(COMMITTED.read_text())
    for dotted, value in changes.items():
        *parents, key = dotted.split("__")
        section = content
        for parent in parents:
            section = section[parent]
        if value is None:
            del section[key]
        else:
            section[key] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_committed_params_are_valid() -> None:
    assert load_params(COMMITTED).seed >= 0


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"pretrain__epoch": 3},
            ["pretrain.epoch", "unknown key", "did you mean epochs", "batch_size"],
        ),
        ({"evaluation": {}}, ["evaluation", "unknown key", "did you mean evaluate"]),
        ({"evaluate__episodes": "many"}, ["evaluate.episodes", "'many'", "valid integer"]),
        ({"evaluate__episodes": 10}, ["evaluate.episodes", "10", "greater than or equal to 30"]),
        ({"evaluate__workers": 0}, ["evaluate.workers", "0", "greater than 0"]),
        ({"evaluate__runner": "threads"}, ["evaluate.runner", "'threads'", "processes", "dask"]),
        ({"pretrain__backbone": "vgg"}, ["pretrain.backbone", "'vgg'", "conv4", "resnet18"]),
        ({"pretrain__learning_rate": float("nan")}, ["pretrain.learning_rate", "nan"]),
        ({"pretrain__epochs": None}, ["pretrain.epochs", "missing"]),
        ({"metatrain__queries": 30}, ["metatrain", "1 + 30", "samples_per_class = 20"]),
        ({"evaluate__queries": 16}, ["evaluate.protocols[1]", "5 + 16"]),
        ({"prepare__domains": []}, ["evaluate.protocols[4].domain", "digits", "novel"]),
        (
            {"pretrain__weights": "imagenet"},
            ["pretrain", "weights", "found 'imagenet'", "conv4", "none or the path of a file"],
        ),
        (
            {"pretrain__backbone": "resnet18", "pretrain__weights": "IMAGENET1K_V7"},
            ["pretrain", "IMAGENET1K_V7", "none, imagenet, IMAGENET1K_V1 or the path"],
        ),
        ({"pretrain__weights_sha256": "12ab"}, ["pretrain.weights_sha256", "64 hexadecimal"]),
        ({"pretrain__weights_sha256": "0" * 64}, ["pretrain", "weights_sha256", "weights: none"]),
        (
            {"pretrain__backbone": "vit_b_16"},
            ["pretrain.input_size_px", "prepare.image_size_px", "28 pixels", "224 or 384"],
        ),
        ({"pretrain__input_size_px": 8}, ["pretrain.input_size_px", "8 pixels", "at least 16"]),
        ({"prepare__splits__novel": ["LATIN"]}, ["LATIN", "base", "novel"]),
    ],
)
def test_a_fault_is_told_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, object], parts: list[str]
) -> None:
    path = edited(tmp_path, **changes)
    with pytest.raises(ParametersError) as told:
        load_params(path)
    for part in [str(path), *parts]:
        assert part in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [("seed: [1", "not valid YAML"), ("- 1", "found list"), ("", "found NoneType")],
)
def test_a_file_that_is_no_params_file_is_told_in_one_line(
    tmp_path: Path, text: str, part: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParametersError, match=part) as told:
        load_params(path)
    assert len(str(told.value).splitlines()) == 1


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParametersError, match="not found"):
        load_params(tmp_path / "params.yaml")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = edited(tmp_path, seed=-1, export__name="")
    with pytest.raises(ParametersError) as told:
        load_params(path)
    assert len(str(told.value).splitlines()) == 2


def test_more_ways_than_novel_classes_are_refused_with_how_many_there_are() -> None:
    params = load_params(COMMITTED)
    counts = {"base": [20] * 50, "validation": [20] * 30, "novel": [20] * 12, "digits": [180] * 10}
    with pytest.raises(ParametersError) as told:
        params.check_episodes(
            {part: [("", count) for count in sizes] for part, sizes in counts.items()}
        )
    assert "evaluate.protocols[2].way: found 20, needed at most 12" in str(told.value)
    assert "protocols[0]" not in str(told.value)


@pytest.mark.parametrize("text", ["1e-3", "1.5e-3", "2E-4", "+1e-3"])
def test_numbers_may_be_written_with_an_exponent_alone(tmp_path: Path, text: str) -> None:
    content = COMMITTED.read_text().replace("  learning_rate: 0.003", f"  learning_rate: {text}")
    (tmp_path / "params.yaml").write_text(content)
    assert load_params(tmp_path / "params.yaml").pretrain.learning_rate == float(text)


def test_params_cannot_be_changed_once_read() -> None:
    params = load_params(COMMITTED)
    with pytest.raises(Exception, match="frozen"):
        params.seed = 3  # type: ignore[misc]


def test_classes_without_a_group_carry_no_episode_within_one(tmp_path: Path) -> None:
    path = edited(
        tmp_path,
        evaluate__protocols=[{"domain": "novel", "way": 5, "shot": 1, "within_group": True}],
    )
    params = load_params(path)
    grouped = {part: [("", 20)] * 30 for part in ("base", "validation", "novel")}
    with pytest.raises(ParametersError) as told:
        params.check_episodes(grouped)
    (line,) = str(told.value).splitlines()
    assert "protocols[0].way: found 5, needed at most 0, the classes of one group of novel" in line
    grouped["novel"] = [("cats", 20)] * 5
    params.check_episodes(grouped)
