"""A real schedule of a real Prefect server starts real runs."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

pytestmark = pytest.mark.slow


def completed_runs(address: str) -> int:
    request = urllib.request.Request(
        f"{address}/api/flow_runs/count",
        data=json.dumps({"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        return int(json.load(response))


def test_a_schedule_fires_twice_and_stops_cleanly(toy_alone: Toy) -> None:
    toy = toy_alone
    toy.change_source("changed")
    served = toy.start("headstart", "serve", "--interval", "5")
    assert served.stdout is not None
    address = None
    while address is None:
        line = served.stdout.readline()
        assert line, "serve ended before it said where its runs are shown"
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
    before = completed_runs(address[0])
    toy.wait_until(lambda: completed_runs(address[0]) >= before + 2)
    assert toy.starts() == ["first", "second", "third"], "the second run had nothing to do"
    served.terminate()
    code, output = toy.finish(served)
    assert code == 0, output
    assert "Traceback" not in output
    toy.wait_until_alone()


def test_a_killed_serve_takes_its_run_and_its_server_along(toy_alone: Toy) -> None:
    toy = toy_alone
    toy.change_source("changed")
    toy.hold("first")
    served = toy.start("headstart", "serve", "--every", "5s")
    toy.wait_for_start("first")
    served.kill()
    served.wait(timeout=10)
    toy.wait_until_alone()
