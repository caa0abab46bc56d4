"""The bundle that is kept here was written when its format was new; it must work for ever.

A change that breaks these tests changes the contract: raise `FORMAT`, and keep a bundle of it too.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.contract import GOLDEN_TOLERANCE, graph_contracts
from tasks.artifacts.golden import deviation, read_golden, replay, write_golden
from tasks.errors import BundleError


def test_a_bundle_of_format_1_answers_as_it_did(golden_bundle: Path) -> None:
    worst = replay(golden_bundle)
    assert set(worst) == {
        "encoder.embeddings",
        "adapt.weight",
        "adapt.bias",
        "predict.logits",
        "predict.probabilities",
        "classifier.probabilities",
    }
    for output, share in worst.items():
        assert share <= GOLDEN_TOLERANCE[output.split(".")[0]]


def test_the_contract_of_format_1_is_as_it_was(golden_bundle: Path) -> None:
    manifest = json.loads((golden_bundle / "manifest.json").read_text())
    contracts = graph_contracts(manifest["embedding_dim"], len(manifest["base_classes"]))
    assert set(contracts) == set(manifest["graphs"])
    for name, contract in contracts.items():
        for kind in ("inputs", "outputs"):
            now = [(one.name, one.dtype, list(one.shape)) for one in getattr(contract, kind)]
            then = manifest["graphs"][name][kind]
            assert now == [(one["name"], one["dtype"], one["shape"]) for one in then]


def test_the_replay_command_tells_the_deviations_and_never_imports_torch(
    golden_bundle: Path,
) -> None:
    command = [sys.executable, "-m", "tasks.artifacts.golden", str(golden_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["adapt.weight"] <= 1e-4


def test_an_answer_that_differs_is_told_in_one_line(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = read_golden(Bundle(bundle_copy))
    examples["adapt"][1]["weight"][0, 0] += 0.01
    monkeypatch.setattr("tasks.artifacts.golden.read_golden", lambda _: examples)
    with pytest.raises(BundleError, match=r"adapt\.weight differs by .* needed at most 1e-04"):
        replay(bundle_copy)


def test_examples_survive_the_file_to_the_byte(bundle_copy: Path, tmp_path: Path) -> None:
    write_golden(tmp_path / "again.npz", read_golden(Bundle(bundle_copy)))
    assert (tmp_path / "again.npz").read_bytes() == (bundle_copy / "golden.npz").read_bytes()


@pytest.mark.parametrize(
    ("found", "expected", "share"),
    [
        ([1.0, 4.0], [1.0, 5.0], 0.2),
        ([1.0, -np.inf], [1.0, -np.inf], 0.0),
        ([-np.inf], [-np.inf], 0.0),
        ([1.0, -np.inf], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [1.0, -np.inf], np.inf),
        ([np.nan], [1.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_deviation_is_a_share_of_the_largest_value(
    found: list[float], expected: list[float], share: float
) -> None:
    assert deviation(np.array(found), np.array(expected)) == pytest.approx(share)
