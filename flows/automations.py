"""Automations of Prefect's server: what it does when a run falls silent, or has crashed.

A run whose process and worker were both killed stays Running for ever, and holds its place in the
limit of its deployment. Runs send a heartbeat; one that sends no more is marked Crashed.
"""

import os
from datetime import timedelta
from typing import Any

from prefect.automations import EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore
from pydantic import SecretStr

from flows.notifying import WEBHOOK_VARIABLE
from flows.project import HEARTBEAT_S

SILENT = "headstart: runs that fell silent"
CRASHED = "headstart: tell of crashed runs"
SILENCE_S = 3 * HEARTBEAT_S
RUN = "prefect.flow-run"
FLOWS = ("release", "sweep", "training")  # others on the same server are none of ours
OURS: dict[str, str | list[str]] = {
    "prefect.resource.role": "flow",
    "prefect.resource.name": list(FLOWS),
}
ENDS = tuple(f"{RUN}.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed"))


def set_up_automations() -> None:
    """Have the server mark silent runs as crashed, and tell the webhook of crashed ones."""
    with get_client(sync_client=True) as client:
        _put(client, _mark_silent())
        if address := os.environ.get(WEBHOOK_VARIABLE):
            _put(client, _tell_of_crashed(address))
        else:
            for known in client.read_automations_by_name(CRASHED):
                client.delete_automation(known.id)


def _put(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Create an automation, or bring the one of its name up to date."""
    known = client.read_automations_by_name(wanted.name)
    if known:
        client.update_automation(known[0].id, wanted)
    else:
        client.create_automation(wanted)


def _mark_silent() -> AutomationCore:
    beat = f"{RUN}.heartbeat"
    return AutomationCore(
        name=SILENT,
        description=f"Marks a run Crashed that has sent no heartbeat for {SILENCE_S} s.",
        trigger=EventTrigger(
            after={beat},
            expect={beat, *ENDS},
            match={"prefect.resource.id": [f"{RUN}.*"]},
            match_related=OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENCE_S),
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                message=f"no heartbeat for {SILENCE_S} s: worker and run are gone",
                force=False,
            )
        ],
    )


def _tell_of_crashed(address: str) -> AutomationCore:
    from prefect.blocks.webhook import Webhook

    block: Any = Webhook(url=SecretStr(address)).save("headstart", overwrite=True)
    payload = (
        '{"event": "crashed", "flow": "{{ flow.name }}", "run": "{{ flow_run.name }}", '
        '"text": "headstart: {{ flow.name }} {{ flow_run.name }} crashed"}'
    )
    return AutomationCore(
        name=CRASHED,
        description="Tells the webhook of runs whose process was killed.",
        trigger=EventTrigger(
            expect={f"{RUN}.Crashed"},
            match={"prefect.resource.id": [f"{RUN}.*"]},
            match_related=OURS,
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=block, payload=payload)],
    )
