from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from flows import overrides
from flows.overrides import (
    Layer,
    find_recipe,
    laid_over,
    overridden,
    recipe_files,
    recipe_layer,
    recipe_summary,
    settings_layer,
    short_hash,
)
from tasks.errors import ParametersError
from tasks.params import Params
from tasks.params_file import dump_sections, load_params, parse_sections, read_sections

ROOT = Path(__file__).parents[3]
HERE = Path("/somewhere/inside")
RECIPES = [path.stem for path in recipe_files()]


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return read_sections(ROOT / "params.yaml")


def values(*words: str) -> Any:
    return settings_layer(words, HERE).values


def refused(committed: dict[str, Any], *layers: Layer) -> list[str]:
    with pytest.raises(ParametersError) as told:
        overridden(committed, layers)
    return str(told.value).splitlines()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_valid_params(name: str, committed: dict[str, Any]) -> None:
    layers = [recipe_layer(find_recipe(name, HERE))]
    if overridden_source(layers[0]) not in (None, "glyphs", "fake"):
        layers.append(settings_layer(["prepare.root=photos"], HERE))
    params = Params.model_validate(overridden(committed, layers))
    assert params.evaluate.protocols


def overridden_source(layer: Layer) -> object:
    return layer.values.get("prepare", {}).get("source")


@pytest.mark.parametrize("name", RECIPES)
def test_the_head_of_a_recipe_says_command_machine_and_result(name: str) -> None:
    path = find_recipe(name, HERE)
    head = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    assert 20 < len(recipe_summary(path)) < 100
    text = "\n".join(head)
    assert f"headstart run --recipe {name}" in text
    assert "\n# machine and time: " in text and "\n# result to expect: " in text


def test_an_image_folder_needs_its_root_and_is_told_how(committed: dict[str, Any]) -> None:
    (line,) = refused(committed, recipe_layer(find_recipe("image-folder", HERE)))
    assert line.startswith("recipe image-folder: prepare: root: empty")
    assert "--set prepare.root=PATH" in line


def test_values_are_yaml_as_in_the_params_file() -> None:
    assert values("pretrain.learning_rate=1e-3", "pretrain.epochs=3") == {
        "pretrain": {"learning_rate": 1e-3, "epochs": 3}
    }
    (protocol,) = values("evaluate.protocols=[{domain: novel, way: 5, shot: 1}]")["evaluate"][
        "protocols"
    ]
    assert protocol == {"domain": "novel", "way": 5, "shot": 1}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("export.name=2024", "2024"),
        ("export.name=1e-3", "1e-3"),
        ("export.name=true", "true"),
        ("export.name=", ""),
        ("export.name=a: [b # c", "a: [b # c"),
        ("export.name='2024'", "2024"),
        ('export.name="a # b"', "a # b"),
        ("export.name=x=y", "x=y"),
    ],
)
def test_text_is_taken_as_it_stands(word: str, expected: str) -> None:
    assert values(word)["export"]["name"] == expected


def test_a_word_out_of_a_list_is_text_too() -> None:
    assert values("metatrain.learner=2")["metatrain"]["learner"] == "2"
    assert values("prepare.channels=3")["prepare"]["channels"] == 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("photos", "/somewhere/inside/photos"),
        ("./photos/", "/somewhere/inside/photos"),
        (".", "/somewhere/inside"),
        ("../photos", "/somewhere/photos"),
        ("../../photos", "/photos"),
        ("/data/photos", "/data/photos"),
        ("~/photos", "/home/of-mine/photos"),
        ("~nobody-of-this-name/x", "/somewhere/inside/~nobody-of-this-name/x"),
        ("2024", "/somewhere/inside/2024"),
        ("s3://bucket/photos", "s3://bucket/photos"),
        ("https://host/photos.tar", "https://host/photos.tar"),
        ("", ""),
    ],
)
def test_a_relative_root_begins_where_the_command_was_given(
    given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/of-mine")
    assert values(f"prepare.root={given}")["prepare"]["root"] == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("mine.pth", "/somewhere/inside/mine.pth"),
        ("../mine/weights.safetensors", "/somewhere/mine/weights.safetensors"),
        ("/elsewhere/mine.pt", "/elsewhere/mine.pt"),
        ("imagenet", "imagenet"),
        ("IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("none", "none"),
    ],
)
def test_so_does_a_file_of_weights_and_a_name_of_weights_stays(given: str, expected: str) -> None:
    assert values(f"pretrain.weights={given}")["pretrain"]["weights"] == expected


def test_in_a_recipe_of_ones_own_it_begins_in_the_recipes_folder(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("prepare: {source: image_folder, root: photos}\n")
    layer = recipe_layer(find_recipe("own.yaml", tmp_path))
    assert layer.values["prepare"]["root"] == str(tmp_path / "photos")
    assert layer.values["prepare"]["source"] == "image_folder"


def test_what_is_set_counts_over_the_recipe_and_the_later_over_the_earlier(
    committed: dict[str, Any],
) -> None:
    layers = [
        Layer("recipe few", {"pretrain": {"epochs": 2, "batch_size": 8}}),
        settings_layer(["pretrain.epochs=3", "pretrain.epochs=4"], HERE),
    ]
    found = overridden(committed, layers)["pretrain"]
    assert (found["epochs"], found["batch_size"]) == (4, 8)
    assert found["learning_rate"] == committed["pretrain"]["learning_rate"]


def test_lists_are_replaced_and_sections_are_merged() -> None:
    base = {"a": {"b": [1, 2], "c": 3}}
    assert laid_over(base, {"a": {"b": [4]}}) == {"a": {"b": [4], "c": 3}}
    assert laid_over(base, {"a": 5}) == {"a": 5}
    assert base == {"a": {"b": [1, 2], "c": 3}}


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("pretrain.epoch=3", ["--set: pretrain.epoch: unknown key; did you mean epochs?"]),
        ("trainer.x=1", ["--set: trainer: unknown key; ", "did you mean pretrain?"]),
        ("pretrain.epochs=many", ["--set: pretrain.epochs: found 'many', needed a valid integer"]),
        ("pretrain.epochs=", ["--set: pretrain.epochs: found None"]),
        ("pretrain=3", ["--set: pretrain: found 3"]),
        ("seed.x=3", ["--set: seed: found {'x': 3}"]),
        ("evaluate.protocols=[{domain: novel, way: 5}]", ["--set: evaluate.protocols[0].shot"]),
        ("evaluate.protocols[0].way=5", ["unknown key; did you mean protocols?"]),
        ("metatrain.queries=30", ["--set: metatrain: shot + queries = 1 + 30"]),
    ],
)
def test_a_fault_of_what_is_set_is_told_in_one_line(
    word: str, parts: list[str], committed: dict[str, Any]
) -> None:
    (line,) = refused(committed, settings_layer([word], HERE))
    assert all(part in line for part in parts), line


def test_each_fault_names_the_layer_that_it_comes_from(
    committed: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("pretrain: {epochs: -1, batch_size: 0}\nseed: x\n")
    lines = refused(committed, recipe_layer(file), settings_layer(["pretrain.epochs=0"], HERE))
    assert sorted(line.partition(" found")[0] for line in lines) == [
        "--set: pretrain.epochs:",
        f"{file}: pretrain.batch_size:",
        f"{file}: seed:",
    ]


def test_a_fault_of_several_layers_together_names_them_all(committed: dict[str, Any]) -> None:
    layers = [
        Layer("recipe few", {"prepare": {"glyphs": {"samples_per_class": 4}}}),
        settings_layer(["metatrain.queries=5"], HERE),
    ]
    lines = refused(committed, *layers)
    assert lines[0].startswith("recipe few, --set: ")


@pytest.mark.parametrize("word", ["", "=", "epochs", "=3", "pretrain.=3", ".epochs=3"])
def test_a_word_that_sets_nothing_is_told(word: str) -> None:
    with pytest.raises(ParametersError, match=r"--set: found '.*', needed KEY=VALUE"):
        settings_layer([word], HERE)


@pytest.mark.parametrize("word", ["pretrain.epochs=[1", "pretrain.epochs=2024-13-01"])
def test_a_value_that_is_no_yaml_is_told_with_its_key(word: str) -> None:
    with pytest.raises(ParametersError, match=r"^--set pretrain\.epochs: not valid YAML: .*$"):
        settings_layer([word], HERE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("quikc", "did you mean quick? there are "),
        ("nowhere.yaml", "nowhere.yaml: not found"),
        ("./quick", "./quick: not found"),
    ],
)
def test_a_recipe_that_is_not_there_is_told(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ParametersError) as told:
        find_recipe(name, tmp_path)
    assert text in str(told.value)


@pytest.mark.parametrize(
    ("content", "text"), [("", "found NoneType"), ("- 1", "found list"), ("a: [", "not valid YAML")]
)
def test_a_recipe_of_something_else_is_told_with_its_file(
    content: str, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(content)
    with pytest.raises(ParametersError, match=rf"own\.yaml: .*{text}"):
        recipe_layer(file)


def test_the_hash_depends_on_what_is_overridden_alone() -> None:
    one = settings_layer(["pretrain.epochs=3", "export.name=a"], HERE)
    other = settings_layer(["export.name='a'", "pretrain.epochs=4", "pretrain.epochs=3"], HERE)
    assert short_hash([one]) == short_hash([other]) == short_hash([Layer("x", {}), one])
    assert len(short_hash([one])) == 6
    assert short_hash([one]) != short_hash([settings_layer(["pretrain.epochs=3"], HERE)])


def test_params_are_written_so_that_they_read_the_same(
    committed: dict[str, Any], tmp_path: Path
) -> None:
    layer = settings_layer(["export.name=1e-3", "pretrain.learning_rate=1e-5"], HERE)
    changed = overridden(committed, [layer])
    text = dump_sections(changed)
    assert parse_sections(text, "text") == changed
    (tmp_path / "params.yaml").write_text(text)
    params = load_params(tmp_path / "params.yaml")
    assert params.export.name == "1e-3"
    assert params.pretrain.learning_rate == 1e-5


def test_the_recipes_are_part_of_the_package() -> None:
    assert overrides.RECIPES.is_relative_to(ROOT / "flows")
    assert {"image-folder", "quick"} <= set(RECIPES)


@pytest.mark.parametrize("word", ["prepare.root=/a/\udcff", "export.name=\udcff"])
def test_bytes_that_are_no_utf_8_are_told_in_one_line(word: str, committed: dict[str, Any]) -> None:
    (line,) = refused(committed, settings_layer(["prepare.source=image_folder", word], HERE))
    key, _, value = word.partition("=")
    assert line.startswith(f"--set: {key}: found '{value[:-1]}\\udcff', needed text in UTF-8")
    line.encode()
