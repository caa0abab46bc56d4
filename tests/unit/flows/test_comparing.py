"""Two bundles on the same episodes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.comparing import compare, learned_before
from tasks.artifacts.layout import BUNDLE
from tasks.errors import BundleError
from tasks.params import Params


@pytest.fixture
def candidate(tiny_project: Callable[..., Params], golden_bundle: Path, tmp_path: Path) -> Path:
    """A project whose bundle is the golden one."""
    uneven = {"domain": "novel", "way": "all", "shot": 2, "imbalanced": True}
    few = {"domain": "digits", "way": 3, "shot": 1}
    tiny_project(evaluate={"protocols": [few, uneven]})
    shutil.copytree(golden_bundle, tmp_path / BUNDLE)
    return tmp_path


def test_a_bundle_beside_itself_differs_by_nothing(candidate: Path, golden_bundle: Path) -> None:
    found = compare(candidate, golden_bundle)
    assert [one.key for one in found] == ["digits_3way_1shot", "novel_allway_2shot_imbalanced"]
    for one in found:
        assert one.released == one.candidate
        assert one.difference is not None
        assert (one.difference.mean, one.difference.interval95) == (0, 0)
        assert 0 < one.candidate.mean <= 1 and one.episodes == 40
    assert [one.candidate for one in compare(candidate, None)] == [one.candidate for one in found]
    assert compare(candidate, None)[0].difference is None


def test_classes_that_the_released_model_learned_are_named(
    candidate: Path, bundle_copy: Path
) -> None:
    assert learned_before(candidate, bundle_copy) == []
    path = bundle_copy / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text())
    manifest["base_classes"][0] = "digits 2"
    path.write_text(json.dumps(manifest))
    assert learned_before(candidate, bundle_copy) == ["digits 2"]


def test_a_damaged_bundle_is_told(candidate: Path, bundle_copy: Path) -> None:
    (bundle_copy / "adapt.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"adapt\.onnx: damaged"):
        compare(candidate, bundle_copy)
