"""Trained models between stages: safetensors for numbers, JSON for what they mean. Never pickle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tasks.artifacts.files import read_json, write_json
from tasks.errors import DataError

FORMAT = 1
DESCRIPTION = "model.json"

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def write_model(
    folder: Path, modules: Mapping[str, nn.Module], description: Mapping[str, Any]
) -> None:
    """Write each module's weights to `NAME.safetensors`, and `model.json` beside them.

    Args:
        folder: an existing folder.
        modules: what to keep, by name.
        description: whatever is needed to build the modules again.
    """
    for name, module in modules.items():
        tensors = {key: tensor.cpu().contiguous() for key, tensor in module.state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors")
    write_json(folder / DESCRIPTION, {"format": FORMAT, **description})


def read_description(folder: Path, made_by: str) -> dict[str, Any]:
    """Read `model.json`.

    Raises:
        DataError: it is missing, damaged or of another format; the text names the stage that
            makes it.
    """
    description = read_json(folder / DESCRIPTION, made_by)
    if description.get("format") != FORMAT:
        raise DataError(
            f"{folder / DESCRIPTION}: found format {description.get('format')}, needed {FORMAT}; "
            f"run stage {made_by} again"
        )
    return description


def read_weights(module: nn.Module, path: Path, made_by: str) -> None:
    """Load weights into a module built from the description.

    Args:
        module: gets the weights; its names and shapes must be those of the file.
        path: a safetensors file.
        made_by: the stage that writes it, for the message.

    Raises:
        DataError: the file is missing or damaged, or does not fit the module.
    """
    if not path.is_file():
        raise DataError(f"{path}: not found; stage {made_by} makes it: `headstart run`")
    try:
        module.load_state_dict(load_file(path), strict=True)
    except (SafetensorError, RuntimeError, ValueError) as error:
        first = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: damaged, or of another model ({first})") from None


def read_module(
    folder: Path, name: str, made_by: str, build: Callable[[Mapping[str, Any]], AnyModule]
) -> AnyModule:
    """Build a module as `model.json` describes it, with its weights, in evaluation mode.

    Args:
        folder: holds `model.json` and `NAME.safetensors`.
        name: of the module, and of its entry in `model.json`.
        made_by: the stage that writes it, for messages.
        build: makes the module from its entry; what it draws leaves no trace in torch's global
            generator.

    Raises:
        DataError: something is missing, damaged, or of another version.
    """
    description = read_description(folder, made_by)
    with torch.random.fork_rng():
        try:
            module = build(description[name])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{folder / DESCRIPTION}: no {name} that can be built ({error}); run stage "
                f"{made_by} again"
            ) from None
    read_weights(module, folder / f"{name}.safetensors", made_by)
    return module.eval()
