"""A folder with nearly everything wrong is looked at, and all of it is told."""

import json
from pathlib import Path

import pytest

from flows.overrides import recipe_layer
from tests.conftest import ROOT
from tests.hostile import write_hostile
from tests.integration.test_hostile import LIMIT_BYTES, run_bounded
from tests.pictures import Links

pytestmark = pytest.mark.slow


def test_every_fault_is_told_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    told = write_hostile(tmp_path / "photos")
    words = ("flows.cli", "inspect", "photos", "--write", "a.yaml", "--page", "a.html")
    code, output, most = run_bounded(*words, "--no-timing")
    assert code == 0, output
    assert "Traceback" not in output
    assert most < LIMIT_BYTES
    assert "\nnext: headstart run --recipe a.yaml" in output
    page = Links((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert not page.open and all(link.startswith("data:") for link in page.links)
    assert recipe_layer(tmp_path / "a.yaml").values["prepare"]["max_rejected_share"] > 0.05
    # Steps of training need what training needs, beside which the look is small.
    code, output, _ = run_bounded("flows.cli", "inspect", "photos", "--json")
    assert code == 0, output
    content = json.loads(output[output.index("{\n") :])
    refused = [*content["left_out"], *content["looked_into"]["unfit"]]
    assert sum(one["count"] for one in refused) >= len(told)
    stages = {one["stage"]: one for one in content["costs"]["stages"]}
    assert list(stages) == ["prepare", "pretrain", "metatrain", "evaluate", "export"]
    assert all(one["seconds"] > 0 and one["memory_bytes"] > 10**8 for one in stages.values())
