"""Where a bundle comes from: code, params, data, versions. No times, no machines, no paths."""

import hashlib
import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

from tasks.artifacts.files import sha256
from tasks.params import Params

# Not params.yaml, which a run with overrides writes for itself and which has its own hash, and not
# dvc.lock, which changes with every run and changes nothing that runs.
CODE = ("tasks", "dvc.yaml")


def versions() -> dict[str, str]:
    """Versions of what made the graphs."""
    return {
        "headstart": version("headstart"),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def provenance(params: Params, data_manifest: Path) -> dict[str, Any]:
    """What the bundle was made of.

    Args:
        params: hashed by content, so that comments and order do not count.
        data_manifest: of the image store; it holds the hash of every array of images.

    Returns:
        `commit`: the last one that touched the code, so that a commit of results alone changes
        nothing, or None where there is no git; `modified`: whether the code differs from it.
    """
    canonical = json.dumps(params.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    commit = _git("log", "-1", "--format=%H", "--", *CODE)
    changes = _git("status", "--porcelain", "--untracked-files=all", "--", *CODE)
    return {
        "commit": commit or None,
        "modified": None if not commit or changes is None else bool(changes),
        "params_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "data_sha256": sha256(data_manifest),
    }


def _git(*arguments: str) -> str | None:
    """What git answers; None where there is no git, or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
