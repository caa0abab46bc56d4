"""What a bundle says of itself, for programs (manifest.json) and for people (MODEL_CARD.md)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import nn

from tasks.artifacts.contract import (
    FORMAT,
    GOLDEN_TOLERANCE,
    IR_VERSION,
    MANIFEST,
    OPSET,
    graph_file,
    with_int8,
)
from tasks.artifacts.files import sha256
from tasks.artifacts.image_store import ImageStore
from tasks.export.parts import Parts
from tasks.export.provenance import versions
from tasks.framing.graph import Framing
from tasks.framing.rules import INK_MARGIN, INK_THRESHOLD, MINIMUM_CONTRAST
from tasks.params.export import Export

REPRODUCIBLE = (
    "to the byte, from the same code, parameters and data, on the same type of machine with the "
    "same versions of what made it; elsewhere the last digits of weights, and what compression "
    "makes of the teach page, may differ"
)
_FEW = 64  # numbers of a learner that a person may want to read; longer ones stay in the graph
_EACH = "rates.each."  # rates of single parameters: tensors by the dozen, for nobody to read


def describe(
    section: Export,
    parts: Parts,
    store: ImageStore,
    *,
    learner: Mapping[str, Any],
    metrics: Mapping[str, Any],
    parity: Mapping[str, Mapping[str, float]],
    provenance: Mapping[str, Any],
    sections: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest but for the list of files.

    Args:
        section: name and limits.
        parts: what the graphs are made of.
        store: the images behind them.
        learner: its spec, as metatrain wrote it, and as `adaptation` what the graphs carry of it.
        metrics: as evaluate wrote them.
        parity: as measured.
        provenance: commit and hashes.
        sections: further ones, such as `quantisation`, each from what measures it.
    """
    framing = parts.encoder.framing
    has_int8 = sections.get("quantisation", {}).get("file") is not None
    return {
        "format": FORMAT,
        "name": section.name,
        "embedding_dim": parts.dim,
        "feature_dim": parts.feature_dim,
        "graphs": {
            name: contract.as_json(graph_file(name))
            for name, contract in with_int8(parts.contracts(), has_int8).items()
        },
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "preprocessing": {
            "inside_graph": True,
            "framing": framing.mode,
            "image_size_px": framing.size_px,
            "channels": framing.channels,
            "words": preprocessing_in_words(framing),
        },
        "learner": {
            **{key: value for key, value in learner.items() if key != "network_shapes"},
            "learned": learned_numbers(parts.adapt.learner),
        },
        "data": {
            "source": store.manifest["source"],
            "parts": {
                name: {"images": part["images"], "groups": part["groups"]}
                for name, part in store.manifest["parts"].items()
            },
        },
        "base_classes": list(parts.base_classes),
        "limits": {
            "maximum_batch": section.maximum_batch,
            "maximum_image_side_px": section.maximum_image_side_px,
            "meaning": "for the host to enforce; ONNX Runtime does not",
        },
        "metrics": metrics,
        "parity": parity,
        "golden_tolerance": dict(GOLDEN_TOLERANCE),
        **sections,
        "versions": versions(),
        "reproducible": REPRODUCIBLE,
        "provenance": provenance,
    }


def model_card(description: Mapping[str, Any]) -> str:
    """The model card as Markdown.

    Args:
        description: the manifest, as `describe` gives it.
    """
    environment = Environment(
        loader=PackageLoader("tasks.export", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, from values that this project wrote
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.2f}"
    return environment.get_template("model_card.md.j2").render(description)


def file_entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file of a bundle but its manifest, by name."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }


def preprocessing_in_words(framing: Framing) -> str:
    """What the image graphs do to an image before the network sees it."""
    side = f"{framing.size_px} x {framing.size_px} px"
    resample = "antialiased triangle filter, width first, rounded to whole grey levels, then height"
    if framing.mode == "ink":
        return (
            "grey (0.299 R + 0.587 G + 0.114 B, rounded); paper is the side of the grey range that "
            "the border lies on; stretched so that paper is 255 and the strongest ink 0, an image "
            f"of less than {MINIMUM_CONTRAST:.0f} levels contrast being blank; cropped to the ink "
            f"stronger than {100 * INK_THRESHOLD:.0f} % of the strongest; scaled so that its "
            f"longer side fills {1 - 2 * INK_MARGIN:.3f} of {side} and centred ({resample}); "
            "divided by 255"
        )
    colours = "grey (0.299 R + 0.587 G + 0.114 B, rounded); " if framing.channels == 1 else ""
    return (
        f"{colours}shorter side scaled to {framing.size_px} px ({resample}), central square of "
        f"{side}; divided by 255"
    )


def learned_numbers(learner: nn.Module) -> dict[str, Any]:
    """The few learned numbers of a learner, such as its temperature, by name."""
    return {
        name: tensor.tolist()
        for name, tensor in learner.state_dict().items()
        if tensor.numel() <= _FEW and not name.startswith(_EACH)
    }


def model_notes(section: Export) -> dict[str, str]:
    """What every graph says of itself in a viewer."""
    return {
        "headstart.bundle": section.name,
        "headstart.format": str(FORMAT),
        "headstart.contract": f"{MANIFEST} beside this file",
    }
