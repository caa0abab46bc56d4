from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.overrides import Layer, find_recipe, overridden, recipe_layer, recipe_summary
from tasks.params import Params
from tasks.params_file import read_sections
from tasks.sources.torchvision_parts import facts
from tests.conftest import ROOT

WITHOUT_ROOT = ("fake", "tutorial", "tutorial-resnet18")
RECIPES = ("cifar-fs", "fc100", "mini-imagenet", "omniglot", *WITHOUT_ROOT)
SUPERCLASSES = facts()["groups"]["CIFAR100"]


def split_lists(recipe: str) -> list[list[str]]:
    splits = yaml.safe_load(find_recipe(recipe, Path()).read_text())["prepare"]["splits"]
    return [splits[split] for split in ("base", "validation", "novel")]


def params_of(recipe: str) -> Params:
    layers = [recipe_layer(find_recipe(recipe, Path()))]
    if recipe not in WITHOUT_ROOT:
        layers.append(Layer("--set", {"prepare": {"root": "/images"}}))
    sections: dict[str, Any] = overridden(read_sections(ROOT / "params.yaml"), layers)
    return Params.model_validate(sections)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_makes_params_that_are_allowed_and_says_how_it_is_run(recipe: str) -> None:
    params = params_of(recipe)
    assert params.export.name == recipe
    text = find_recipe(recipe, Path()).read_text()
    assert f"headstart run --recipe {recipe}" in text
    assert "machine and time: " in text and "result to expect: " in text
    assert recipe_summary(find_recipe(recipe, Path())).endswith((".", "novel"))


def test_cifar_fs_splits_the_classes_of_cifar100_in_64_16_and_20() -> None:
    base, validation, novel = split_lists("cifar-fs")
    assert (len(base), len(validation), len(novel)) == (64, 16, 20)
    names = {name for names in SUPERCLASSES.values() for name in names}
    assert {*base, *validation, *novel} == names


def test_fc100_splits_the_superclasses_of_cifar100_in_12_4_and_4() -> None:
    base, validation, novel = split_lists("fc100")
    assert (len(base), len(validation), len(novel)) == (12, 4, 4)
    assert {*base, *validation, *novel} == {*SUPERCLASSES}


def test_mini_imagenet_names_64_16_and_20_words_of_wordnet() -> None:
    lists = split_lists("mini-imagenet")
    assert [len(names) for names in lists] == [64, 16, 20]
    words = {name for names in lists for name in names}
    assert len(words) == 100
    assert all(len(word) == 9 and word[0] == "n" and word[1:].isdigit() for word in words)
    assert params_of("mini-imagenet").pretrain.weights == "none"


def test_omniglot_takes_its_novel_classes_from_the_evaluation_half_alone() -> None:
    params = params_of("omniglot")
    assert params.prepare.splits.novel_share == 0
    assert [one.name for one in params.evaluate.protocols if one.within_group] == [
        "novel 20-way 1-shot within a group"
    ]


def test_the_tutorials_lower_the_rate_every_ten_batches_and_transfer_keeps_the_backbone() -> None:
    for name, backbone, policy in (
        ("tutorial", "simple_net", "full"),
        ("tutorial-resnet18", "resnet18", "frozen"),
    ):
        section = params_of(name).pretrain
        assert (section.backbone, section.policy, section.optimizer) == (backbone, policy, "adam")
        assert (section.exponential_decay, section.exponential_every_batches) == (0.9, 10)
    assert params_of("tutorial").pretrain.epochs == 5
    assert params_of("tutorial-resnet18").pretrain.weights == "imagenet"
