"""The overrides to start with: what was found out about images, as a recipe for `headstart run`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.inspecting.fitting import Episodes, Fit
from flows.inspecting.guessing import Framing
from flows.overrides import Layer, find_recipe, laid_over, overridden
from tasks.errors import DataError
from tasks.params import Params
from tasks.params_file import dump_sections, parse_sections, read_sections
from tasks.sources.names import shown

PHOTOGRAPHS = "image-folder"  # the recipe whose training photographs start from
SELECTION_EPISODES = 400
REJECTED_SHARE = 0.05


@dataclass(frozen=True)
class Where:
    """What `prepare` is told about the place of the images.

    Attributes:
        source: of `prepare`.
        root: as `prepare.root` is to have it: absolute, or an address.
        dataset: of source torchvision; empty for others.
    """

    source: str
    root: str
    dataset: str = ""


@dataclass(frozen=True)
class Base:
    """The params that overrides are laid over.

    Attributes:
        path: of the file, for messages.
        sections: what it holds; valid by themselves.
    """

    path: Path
    sections: Mapping[str, Any]


def read_base(path: Path) -> Base:
    """Read the params of a project.

    Raises:
        ParametersError: they are missing or not valid.
    """
    sections = read_sections(path)
    overridden(sections, [])
    return Base(path, sections)


def starting_values(
    where: Where,
    framing: Framing,
    fit: Fit,
    episodes: Episodes,
    rejected_share: float,
    base: Base | None,
) -> dict[str, Any]:
    """Overrides of `params.yaml` that these images can carry.

    Args:
        where: the images.
        framing: how to frame them.
        fit: their splits.
        episodes: what those can carry.
        rejected_share: about how many of the images cannot be used, 0..1.
        base: the params they are laid over, where there are any.
    """
    photographs = framing.mode == "crop"
    recipe = read_sections(find_recipe(PHOTOGRAPHS, Path())) if photographs else {}
    first = {"prepare": {"source": where.source, "root": where.root}}
    prepare: dict[str, Any] = {
        "source": where.source,
        "root": where.root,
        "watch": ["root"],
        "image_size_px": framing.size_px,
        "channels": framing.channels,
        "framing": framing.mode,
        "splits": _splits(fit),
        "domains": [],
    }
    if where.source == "torchvision":
        prepare["torchvision"] = {"dataset": where.dataset, "download": False}
    allowed = base.sections["prepare"]["max_rejected_share"] if base else REJECTED_SHARE
    if rejected_share > 0.8 * allowed:
        prepare["max_rejected_share"] = min(1.0, round(1.5 * rejected_share + 0.01, 2))
    selection = {
        "way": episodes.selection_way,
        "shot": 1,
        "queries": episodes.few_queries,
        "episodes": SELECTION_EPISODES,
    }
    found = {
        "prepare": prepare,
        "pretrain": {"selection": selection},
        "metatrain": {
            "way": episodes.way,
            "shot": 1,
            "queries": episodes.few_queries,
            "selection": selection,
        },
        "evaluate": {
            "queries": episodes.queries,
            "protocols": [
                {"domain": "novel", "way": way, "shot": shot} for way, shot in episodes.protocols
            ],
        },
        "export": {"name": _name(where)},
    }
    values: dict[str, Any] = _copied(laid_over(laid_over(first, recipe), found))
    return values


def starting_params(values: Mapping[str, Any], base: Base) -> Params:
    """The params that a run with these overrides has.

    Raises:
        ParametersError: they are not valid together.
    """
    return Params.model_validate(overridden(base.sections, [Layer("headstart inspect", values)]))


def starting_text(values: Mapping[str, Any], head: list[str]) -> str:
    """A recipe as text.

    Args:
        values: the overrides.
        head: lines to stand above them as comments.

    Raises:
        DataError: a name in it can be written in no file of text.
    """
    text = "".join(f"# {line}".rstrip() + "\n" for line in head) + dump_sections(values)
    try:
        text.encode()
    except UnicodeEncodeError:
        root = shown(str(values["prepare"]["root"]))
        raise DataError(
            f"{root}: holds bytes that are no UTF-8, needed a name that YAML can hold: rename it"
        ) from None
    if parse_sections(text, "the recipe") != values:
        raise DataError("the recipe reads otherwise than it was meant: rename classes or the root")
    return text


def _copied(value: Any) -> Any:
    """The same with no part in two places, which YAML would write as anchor and alias."""
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _splits(fit: Fit) -> dict[str, Any]:
    how = fit.splitting
    return {
        "by": how.by,
        "validation_share": how.shares["validation"],
        "novel_share": how.shares["novel"],
        "minimum_images": how.minimum_images,
        **{split: list(how.lists[split]) for split in ("base", "validation", "novel")},
    }


def _name(where: Where) -> str:
    last = where.dataset or re.split(r"[/\\]", where.root.rstrip("/\\"))[-1]
    stem = re.sub(r"(\.(zip|csv|tsv|parquet|t?gz|tar|tbz2|txz|bz2|xz))+$", "", last, flags=re.I)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:80] or "images"
