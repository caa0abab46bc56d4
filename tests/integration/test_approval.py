"""Releases that wait for a person, on a real server, and what a webhook is told of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api import Api
from tests.integration.test_releases import (  # noqa: F401  (fixtures)
    BETTER,
    fresh_template,
    project,
    template,
)

if TYPE_CHECKING:
    import subprocess

    from tests.integration.test_releases import Project

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first pays for the templates

SECRET = "T0KEN-of-the-webhook"


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook: its address, and what it was told."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{SECRET}", bodies
    server.shutdown()
    server.server_close()


@pytest.fixture
def asking(project: Project, told: tuple[str, list[dict[str, Any]]]) -> Project:  # noqa: F811
    """A project with a better candidate, whose releases need approval."""
    project.env["HEADSTART_WEBHOOK_URL"] = told[0]
    project.gate(require_approval=True)
    project.commit(quality=BETTER)
    return project


def start_and_wait(asking: Project) -> tuple[subprocess.Popen[str], Api, str]:
    """A release that is paused: its process, the API, and its run there."""
    api = Api(asking.env["PREFECT_API_URL"])
    asked = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}

    def waiting() -> set[str]:
        return {str(run["id"]) for run in api.post("flow_runs/filter", asked)}

    before = waiting()
    release = asking.start("headstart", "release")
    asking.wait_until(lambda: waiting() - before or release.poll() is not None)
    assert release.poll() is None, release.communicate()[0]
    (run,) = waiting() - before
    return release, api, run


def answer(api: Api, run: str, decision: str) -> None:
    said = {"decision": decision, "by": "Ada", "comment": "seen"}
    assert api.post(f"flow_runs/{run}/resume", {"run_input": said})["status"] == "ACCEPT"


def test_an_approved_candidate_is_released_and_the_project_is_free_meanwhile(
    asking: Project, told: tuple[str, list[dict[str, Any]]]
) -> None:
    release, api, run = start_and_wait(asking)
    assert asking.in_use() == ["v0.1.0"]
    # What the page shows above the form.
    schema = api.get(f"flow_runs/{run}/input/paused-1-description")
    assert "waits for approval against v0.1.0" in schema
    assert "| 40 novel 5-way 5-shot |" in schema
    assert not (asking.root / ".headstart/run.json").exists(), "nobody holds the project"
    answer(api, run, "approve")
    code, output = asking.finish(release)
    assert code == 0, output
    assert asking.in_use() == ["v0.2.0"]
    assert asking.listed()["v0.2.0"]["approval"] == {"by": "Ada", "comment": "seen"}
    summary = (asking.root / "runs/release/.headstart/release.md").read_text()
    assert "# v0.2.0 released against v0.1.0" in summary
    assert "- approved by Ada: seen" in summary
    assert "](data:image/png;base64," in summary
    assert [body["event"] for body in told[1]] == ["waiting", "released"]
    assert told[1][1]["version"] == "v0.2.0"
    assert SECRET not in output + api.logs(run)


def test_a_rejected_candidate_is_kept_and_ends_like_a_failed_gate(
    asking: Project, told: tuple[str, list[dict[str, Any]]]
) -> None:
    tags, bits = asking.tags(), asking.bits()
    release, api, run = start_and_wait(asking)
    answer(api, run, "reject")
    code, output = asking.finish(release)
    assert code == 3, output
    assert "v0.2.0: rejected by Ada: seen" in output
    assert "refused: v0.1.0 stays in use; the candidate is kept in runs/release" in output
    assert "Traceback" not in output
    assert (asking.tags(), asking.bits()) == (tags, bits)
    assert asking.run("headstart", "verify", "runs/release/exports/bundle")[0] == 0
    assert [body["event"] for body in told[1]] == ["waiting", "failed"]
    assert "rejected by Ada" in told[1][1]["reason"]

    # Nobody answers.
    asking.gate(require_approval=True, approval_timeout_s=2)
    asking.commit("Wait for two seconds")
    output = asking.refused(3)
    assert "nobody approved within 2 s (release.yaml: approval_timeout_s)" in output
    assert (asking.tags(), asking.bits()) == (tags, bits)

    # Nobody can be asked: said before anything is trained.
    trained = asking.root / "runs/release/.headstart/ending.json"
    before = trained.read_bytes()
    del asking.env["PREFECT_API_URL"]
    output = asking.refused(2)
    assert "nobody can give it here; take a terminal, give --yes, or start" in output
    assert trained.read_bytes() == before


def test_what_was_approved_is_what_is_released_or_nothing_is(asking: Project) -> None:
    release, api, run = start_and_wait(asking)
    # Another release goes its way meanwhile, with the word given on the command line.
    asking.commit(quality="7")
    assert "v0.2.0: released" in asking.release("--yes")
    assert asking.listed()["v0.2.0"]["approval"]["by"] == "--yes"
    bits = asking.bits()
    answer(api, run, "approve")
    code, output = asking.finish(release)
    assert code == 75, output
    assert "another run replaced the candidate while it waited for approval" in output
    assert (asking.in_use(), asking.bits()) == (["v0.2.0"], bits)
