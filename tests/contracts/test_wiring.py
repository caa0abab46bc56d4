"""Code and wiring agree: a missing dep in dvc.yaml is a stale model that nobody notices."""

from pathlib import Path

import grimp
import pytest
import yaml

from tasks.artifacts import layout
from tasks.params import Params

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SCAN = STAGES.pop("scan")  # runs every time that it is asked for, whatever its code
OUTPUTS = {
    "prepare": layout.PREPARED,
    "pretrain": layout.PRETRAINED,
    "metatrain": layout.METATRAINED,
    "evaluate": layout.EVALUATED,
    "export": layout.BUNDLE,
}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("tasks", cache_dir=None)


def module_file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def closure(graph: grimp.ImportGraph, stage: str) -> set[Path]:
    """Every file of ours that `python -m tasks.STAGE` may load."""
    reached = {f"tasks.{stage}.__main__", *graph.find_descendants(f"tasks.{stage}")}
    reached |= {up for one in set(reached) for up in graph.find_upstream_modules(one)}
    packages = {
        ".".join(one.split(".")[:depth])
        for one in reached
        for depth in range(1, one.count(".") + 1)
    }
    return {module_file(one) for one in reached | packages}


def declared(stage: str) -> set[Path]:
    """Every Python file that the stage's deps name or hold."""
    found: set[Path] = set()
    for dep in STAGES[stage]["deps"]:
        path = ROOT / dep
        found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return {path for path in found if path.suffix == ".py"}


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_stage_declares_all_code_that_it_loads(imports: grimp.ImportGraph, stage: str) -> None:
    missing = {str(path.relative_to(ROOT)) for path in closure(imports, stage) - declared(stage)}
    assert not missing, f"add to deps of {stage} in dvc.yaml: {sorted(missing)}"


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_stage_declares_no_code_that_it_does_not_load(
    imports: grimp.ImportGraph, stage: str
) -> None:
    surplus = {str(path.relative_to(ROOT)) for path in declared(stage) - closure(imports, stage)}
    assert not surplus, f"{stage} would run again for nothing after a change of {sorted(surplus)}"


def test_one_word_names_stage_package_and_params_section() -> None:
    assert list(STAGES) == list(OUTPUTS)
    assert set(Params.model_fields) == {"seed", *STAGES}
    for name, stage in STAGES.items():
        assert stage["cmd"] == f"python -m tasks.{name}"
        # The bundle's manifest holds the hash of all params.
        sections = list(STAGES) if name == "export" else [name]
        assert stage["params"] == ["seed", *sections]


def test_the_folders_in_code_are_the_outs_in_dvc_yaml() -> None:
    for name, stage in STAGES.items():
        assert stage["outs"] == [str(OUTPUTS[name])]


def test_scan_leaves_its_listing_where_prepare_looks_and_runs_only_where_asked() -> None:
    assert SCAN["foreach"] == "${prepare.watch}"
    assert SCAN["do"]["always_changed"] is True
    [[listing]] = (list(out) for out in SCAN["do"]["outs"])
    assert listing == str(layout.LISTING)
    assert str(layout.LISTING.parent) in STAGES["prepare"]["deps"]
    assert yaml.safe_load((ROOT / "params.yaml").read_text())["prepare"]["watch"] == []


def test_a_stage_reads_only_what_an_earlier_one_makes() -> None:
    made: set[str] = {str(layout.LISTING.parent)}
    for stage in STAGES.values():
        data = {dep for dep in stage["deps"] if not dep.startswith("tasks")}
        assert data <= made
        made |= set(stage["outs"])
