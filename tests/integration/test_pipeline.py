"""The five real stages, on few letters and small networks, through both doors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import Server, Toy, checkout

pytestmark = pytest.mark.slow

STAGES = ["prepare", "pretrain", "metatrain", "evaluate", "export"]


@pytest.fixture
def pipeline(tmp_path: Path, server: Server) -> Iterator[tuple[Toy, Toy]]:
    both = (checkout(tmp_path / "one", server), checkout(tmp_path / "two", server))
    yield both
    for one in both:
        one.clean_up()


def test_both_doors_make_the_same_bytes_from_empty_caches(pipeline: tuple[Toy, Toy]) -> None:
    bare, flow = pipeline
    code, output = bare.run("dvc", "repro")
    assert code == 0, output
    code, output = flow.run("headstart", "run")
    assert code == 0, output
    assert bare.lock_bytes() == flow.lock_bytes()
    assert list(yaml.safe_load(bare.lock_bytes())["stages"]) == STAGES

    _, output = bare.run("headstart", "run")
    assert all(f"{stage}: up to date" in output for stage in STAGES), output
    _, output = flow.run("dvc", "repro")
    assert "Running stage" not in output

    bare.change_params("name: glyphs", "name: renamed")
    _, output = bare.run("dvc", "repro")
    assert [line for line in output.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'export':"
    ]
