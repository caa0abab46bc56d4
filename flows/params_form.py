"""The form in which Prefect's pages ask for recipe and overrides, made of the models of params.

Every key is there with the type, the bounds and the choices that params.yaml has, all may be left
out, and its comment in the project's params.yaml says what it is.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema

from flows.overrides import recipe_files, recipe_summary, setting_word
from tasks.params import PARAMS_FILE, Params
from tasks.params.section import Section

Keys = tuple[str, ...]
COMMENTED_FILE = Path(__file__).parents[1] / PARAMS_FILE


class PartOfParams(BaseModel):
    """What the form's sections are made of; the run checks them again, all together."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def form_of(
    section: type[BaseModel], comments: Mapping[Keys, str], above: Keys = ()
) -> type[PartOfParams]:
    """A model with the keys of a section, all of which may be left out.

    Args:
        section: whose keys.
        comments: what to say of keys, by the way to them from the top of params.yaml.
        above: the way to the section.
    """
    fields: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        keys = (*above, name)
        told = Field(default=None, description=comments.get(keys))
        annotation: Any = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            fields[name] = (form_of(annotation, comments, keys) | None, told)
        else:
            fields[name] = (_with_bounds(field) | None, told)
    title = "".join(word.title() for key in above for word in key.split("_")) or "Overrides"
    form: type[PartOfParams] = create_model(title, __base__=PartOfParams, **fields)
    return form


def setting_words(form: BaseModel) -> list[str]:
    """What was filled in, as `--set` takes it; None counts as left out."""
    return [setting_word(".".join(keys), value) for keys, value in _filled_in(form, ())]


def comments_of(path: Path) -> dict[Keys, str]:
    """The comments of a YAML file by key; none where it cannot be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML().load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError):
        return {}
    return dict(_comments(content, ()))


def _filled_in(form: BaseModel, above: Keys) -> Iterator[tuple[Keys, Any]]:
    dumped = form.model_dump(mode="json")
    for name in type(form).model_fields:
        value = getattr(form, name)
        if isinstance(value, PartOfParams):
            yield from _filled_in(value, (*above, name))
        elif value is not None:
            yield (*above, name), dumped[name]


def _with_bounds(field: FieldInfo) -> Any:
    """The type of a field with what it demands beside the type."""
    annotation: Any = field.annotation
    for demand in field.metadata:
        annotation = Annotated[annotation, demand]
    return annotation


def _comments(content: Any, above: Keys) -> Iterator[tuple[Keys, str]]:
    if not isinstance(content, Mapping):
        return
    found = getattr(content, "ca", None)
    for name, value in content.items():
        keys = (*above, str(name))
        tokens = (found.items.get(name) if found else None) or []
        lines = [token.value for token in tokens if token is not None and hasattr(token, "value")]
        words = " ".join("\n".join(lines).replace("#", " ").split())
        if words:
            yield keys, words
        yield from _comments(value, keys)


def _recipe_schema() -> JsonSchemaValue:
    told = "; ".join(f"{path.stem}: {recipe_summary(path)}" for path in recipe_files())
    return {
        "type": "string",
        "enum": [path.stem for path in recipe_files()],
        "description": f"Named overrides. {told}",
    }


Recipe = Annotated[str | None, WithJsonSchema(_recipe_schema())]
if TYPE_CHECKING:
    Overrides = BaseModel
else:
    Overrides = form_of(Params, comments_of(COMMENTED_FILE))
