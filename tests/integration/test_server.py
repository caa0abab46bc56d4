"""`headstart server`: a real server, pool, deployments and worker on loopback."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from flows.automations import SILENCE_S
from flows.overrides import recipe_files
from tests.integration.api import Api, api_of

if TYPE_CHECKING:
    import subprocess

    from tests.integration.conftest import Toy

pytestmark = pytest.mark.slow


def start_server(toy: Toy) -> tuple[subprocess.Popen[str], Api]:
    process = toy.start("headstart", "server", "--port", "0")
    api = api_of(process)
    assert process.stdout is not None
    # What the runs say goes through this pipe, which must not fill up.
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process, api


def end_of(toy: Toy, api: Api, run: str) -> str:
    toy.wait_until(lambda: api.state(run) in ("Completed", "Cancelled", "Crashed", "Failed"))
    return api.state(run)


def test_deployments_are_typed_run_through_the_worker_and_are_gone_after_ctrl_c(
    toy_deployed: Toy,
) -> None:
    toy = toy_deployed
    server, api = start_server(toy)

    nightly = api.deployment("training/nightly-training")
    assert [(one["schedule"]["cron"], one["active"]) for one in nightly["schedules"]] == [
        ("0 2 * * *", True)
    ]
    for name in ("release/release", "sweep/sweep"):
        assert api.deployment(name)["schedules"] == []
    schema = nightly["parameter_openapi_schema"]
    assert schema["properties"]["recipe"]["enum"] == [path.stem for path in recipe_files()]
    sections = schema["definitions"]["Overrides"]["properties"]
    assert set(sections) == {"seed", "prepare", "pretrain", "metatrain", "evaluate", "export"}
    epochs = schema["definitions"]["Metatrain"]["properties"]["inner_steps"]
    assert {one["type"] for one in epochs["anyOf"]} == {"integer", "null"}
    assert "read by all that take gradient steps" in epochs["description"]

    # Recipe and overrides make a clone, as `headstart run` does; the project stays as it is.
    outs = toy.outputs()
    run = api.start(
        "training/nightly-training", recipe="quick", overrides={"export": {"name": "typed"}}
    )
    assert end_of(toy, api, run) == "Completed", api.logs(run)
    (clone,) = (toy.root / "runs").iterdir()
    assert clone.name.startswith("quick-")
    assert (clone / "outs/third").read_text().endswith("third 1 typed\n")
    assert toy.outputs() == outs

    # What no form lets through is refused as such by the API too.
    with pytest.raises(OSError, match="409|422"):
        api.start("training/nightly-training", overrides={"export": {"nmae": "typed"}})

    # Ctrl-C in the middle of a stage: the stage ends, what it was to replace is back.
    toy.hold("second")
    toy.change_source("changed")
    run = api.start("training/nightly-training")
    toy.wait_until(lambda: "second" in toy.starts())
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=30) == 130
    toy.wait_until_alone()
    assert toy.outputs()["second"] == outs["second"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_a_killed_worker_and_run_held_is_free_for_the_next_run(
    toy_deployed: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = toy_deployed
    server, api = start_server(toy)
    held = toy.hold("first")
    toy.change_source("changed")
    dead = api.start("training/nightly-training")
    toy.wait_until(lambda: "first" in toy.starts())
    run, worker = toy.process_of("prefect.engine"), toy.process_of("flows.bound", "worker")
    killed = time.monotonic()
    worker.suspend()  # or it would tell of the run's end before its own
    run.kill()
    worker.kill()
    held.unlink()
    # The worker is started anew by itself; until the slot is free, each run is cancelled.
    states = []
    while "Completed" not in states:
        assert time.monotonic() - killed < 2 * SILENCE_S + 60, states
        states.append(end_of(toy, api, api.start("training/nightly-training")))
        if states[-1] == "Cancelled":
            free = time.monotonic() - killed
    done = time.monotonic() - killed
    with capsys.disabled():
        sys.stdout.write(
            f"\nlast run refused after {free:.0f} s, first one done after {done:.0f} s\n"
        )
    assert api.state(dead) == "Crashed"
    assert set(states) == {"Cancelled", "Completed"}
    server.terminate()
    server.wait(timeout=30)
    toy.wait_until_alone()
