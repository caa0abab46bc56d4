"""The form of Prefect's pages against the models of params.yaml."""

from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from flows.overrides import recipe_files, settings_layer
from flows.params_form import COMMENTED_FILE, Overrides, comments_of, form_of, setting_words
from flows.training import training
from tasks.params import Params
from tasks.params.section import Section
from tasks.params_file import load_params


def keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = set()
    for name, field in model.model_fields.items():
        optional = get_origin(field.annotation) in (Union, UnionType)
        kinds = get_args(field.annotation) if optional else [field.annotation]
        nested = next((one for one in kinds if hasattr(one, "model_fields")), None)
        found |= keys(nested, (*above, name)) if nested else {(*above, name)}
    return found


def test_the_form_has_every_key_of_the_params_and_demands_none() -> None:
    assert keys(Overrides) == keys(Params)
    assert setting_words(Overrides()) == []


def test_what_is_filled_in_comes_out_as_settings_say_it() -> None:
    form = Overrides.model_validate(
        {
            "seed": 3,
            "pretrain": {"epochs": 2, "plateau": {"factor": 0.5}, "weights": None},
            "evaluate": {"protocols": [{"domain": "novel", "way": "all", "shot": 1}]},
            "prepare": {"splits": {"base": ["ARMENIAN"]}},
            "export": {"name": "2024", "int8": False},
        }
    )
    values = settings_layer(setting_words(form), Path()).values
    protocol = {"domain": "novel", "way": "all", "shot": 1}
    assert values == {
        "seed": 3,
        "pretrain": {"epochs": 2, "plateau": {"factor": 0.5}},
        "evaluate": {"protocols": [protocol | {"within_group": False, "imbalanced": False}]},
        "prepare": {"splits": {"base": ["ARMENIAN"]}},
        "export": {"name": "2024", "int8": False},
    }


def test_the_params_of_the_project_pass_the_form_as_they_stand() -> None:
    params = load_params(COMMENTED_FILE)
    form = Overrides.model_validate(params.model_dump(mode="json"))
    assert len(setting_words(form)) == len(keys(Params))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pretrain": {"epoch": 3}},
        {"pretrain": {"epochs": -1}},
        {"pretrain": {"policy": "fulll"}},
        {"pretrian": {}},
    ],
)
def test_what_params_yaml_does_not_allow_the_form_does_not_either(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Overrides.model_validate(wrong)


def test_the_schema_names_recipes_and_says_what_params_yaml_says() -> None:
    schema = training.parameters.model_dump()
    assert schema["properties"]["recipe"]["enum"] == [path.stem for path in recipe_files()]
    policy = schema["definitions"]["Pretrain"]["properties"]["policy"]
    assert "frozen" in policy["anyOf"][0]["enum"]
    assert policy["description"].startswith("what learns. full: everything; frozen:")
    assert schema["required"] == []


def test_a_form_without_comments_is_a_form(tmp_path: Path) -> None:
    class Small(Section):
        steps: int

    assert comments_of(tmp_path / "none.yaml") == {}
    form = form_of(Small, {})
    assert setting_words(form.model_validate({"steps": 3})) == ["steps=3"]
