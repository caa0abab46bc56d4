from pathlib import Path

import pytest

from flows.stage_files import holder_of, lacks_files, result_outs
from tasks.inputs import StageDeclaration


def declared(name: str, deps: list[str], outs: list[str]) -> StageDeclaration:
    return StageDeclaration(name=name, deps=tuple(deps), outs=tuple(outs), params=())


STAGES = {
    one.name: one
    for one in (
        declared("scan", [], ["data/scan/listing.csv"]),
        declared("prepare", ["data/scan", "code"], ["outputs/prepare"]),
        declared("evaluate", ["outputs/prepare"], ["outputs/evaluate"]),
        declared("export", ["outputs/prepare/part.npy", "outputs/evaluate"], ["exports/bundle"]),
    )
}


def test_results_are_the_outputs_that_no_stage_reads_and_that_of_the_metrics() -> None:
    assert result_outs(STAGES) == ["outputs/evaluate", "exports/bundle"]


def test_an_output_holds_a_path_inside_it_and_is_held_by_a_folder_above_it() -> None:
    assert holder_of(STAGES, "outputs/prepare/part.npy") == ["outputs/prepare"]
    assert holder_of(STAGES, "data/scan") == ["data/scan/listing.csv"]
    assert holder_of(STAGES, "code") == []


def test_a_stage_lacks_files_where_its_outputs_or_those_that_it_reads_are_not_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lacks_files(STAGES, "prepare")
    for folder in ("outputs/prepare", "data/scan"):
        Path(folder).mkdir(parents=True)
    assert not lacks_files(STAGES, "prepare")  # a missing source is for the stage itself to tell
    assert lacks_files(STAGES, "evaluate")
    Path("outputs/evaluate").mkdir()
    assert not lacks_files(STAGES, "evaluate")
    assert not lacks_files(STAGES, "nobody")
