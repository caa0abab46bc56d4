from pathlib import Path

import pytest

from tasks.errors import DataError, MovedInputsError
from tasks.inputs import check_unmoved, declared_stages, fingerprint, take_inputs

PIPELINE = """
stages:
  make:
    cmd: make
    outs:
      - outs/data:
          cache: true
  train:
    cmd: train
    deps: [code, outs/data]
    params:
      - seed
      - train
      - other.yaml: [depth.inner]
    outs: [outs/model]
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("code/__pycache__", "outs/data/part"):
        Path(folder).mkdir(parents=True)
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text("seed: 1\ntrain: {epochs: 12, rate: 0.1}\nunread: 1\n")
    Path("other.yaml").write_text("depth: {inner: 3}\n")
    Path("code/model.py").write_text("pass\n")
    Path("outs/data/part/images").write_bytes(b"abc")
    return tmp_path


def test_nothing_moved_is_no_fault() -> None:
    check_unmoved(take_inputs("train"))


def test_each_changed_param_is_named_with_old_and_new_value() -> None:
    inputs = take_inputs("train")
    Path("params.yaml").write_text("seed: 1\ntrain: {epochs: 3, layers: 2}\n")
    Path("other.yaml").write_text("depth: {inner: 4}\n")
    with pytest.raises(MovedInputsError) as fault:
        check_unmoved(inputs)
    text = str(fault.value)
    assert "params.yaml: train.epochs: 12 -> 3" in text
    assert "params.yaml: train.rate: 0.1 -> null" in text
    assert "params.yaml: train.layers: null -> 2" in text
    assert "other.yaml: depth.inner: 3 -> 4" in text
    assert "run it again" in text


def test_params_the_stage_does_not_read_may_change() -> None:
    inputs = take_inputs("train")
    Path("params.yaml").write_text("seed: 1\ntrain: {rate: 0.1, epochs: 12}\nunread: 2\n")
    check_unmoved(inputs)


def test_changed_new_and_lost_files_are_named() -> None:
    inputs = take_inputs("train")
    Path("code/model.py").write_text("pass # more\n")
    Path("code/new.py").touch()
    Path("outs/data/part/images").unlink()
    with pytest.raises(MovedInputsError) as fault:
        check_unmoved(inputs)
    text = str(fault.value)
    assert "code/model.py was changed" in text
    assert "code/new.py is new" in text
    assert "outs/data/part/images is gone" in text


def test_a_file_written_anew_with_the_same_content_did_not_move() -> None:
    inputs = take_inputs("train")
    Path("code/fresh").write_text("pass\n")
    Path("code/fresh").replace("code/model.py")
    check_unmoved(inputs)


def test_byte_code_does_not_count() -> None:
    inputs = take_inputs("train")
    Path("code/__pycache__/model.pyc").touch()
    check_unmoved(inputs)


def test_params_that_cannot_be_read_any_more_count_as_moved() -> None:
    inputs = take_inputs("train")
    Path("params.yaml").write_text("seed: [")
    with pytest.raises(MovedInputsError, match="params.yaml: cannot be read"):
        check_unmoved(inputs)


def test_a_missing_dependency_says_which_stage_makes_it() -> None:
    Path("outs/data/part/images").unlink()
    Path("outs/data/part").rmdir()
    Path("outs/data").rmdir()
    with pytest.raises(DataError, match=r"^outs/data: not found; stage make makes it"):
        take_inputs("train")


def test_an_unknown_stage_and_a_broken_pipeline_are_told() -> None:
    with pytest.raises(DataError, match=r"no stage trian; there are make, train"):
        take_inputs("trian")
    Path("dvc.yaml").write_text("stages: [")
    with pytest.raises(DataError, match=r"dvc.yaml: not a pipeline"):
        declared_stages()


def test_the_fingerprint_is_that_of_what_the_stage_reads_and_of_nothing_else() -> None:
    first = fingerprint(take_inputs("train"))
    assert fingerprint(take_inputs("train")) == first
    Path("params.yaml").write_text("seed: 1\ntrain: {rate: 0.1, epochs: 12}\nunread: 2\n")
    assert fingerprint(take_inputs("train")) == first
    seen = {first}
    Path("params.yaml").write_text("seed: 2\ntrain: {rate: 0.1, epochs: 12}\n")
    seen.add(fingerprint(take_inputs("train")))
    Path("code/model.py").write_text("raise\n")
    seen.add(fingerprint(take_inputs("train")))
    Path("outs/data/part/images").rename("outs/data/part/pictures")
    seen.add(fingerprint(take_inputs("train")))
    assert len(seen) == 4
