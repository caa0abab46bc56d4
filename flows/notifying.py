"""Messages to a webhook about runs that failed and versions that were released.

The address is a secret: it stands in an environment variable, and no message or log holds it.
Nothing here ever fails a run or holds it up for longer than `LIMIT_S`.
"""

import json
import logging
import os
import threading
import urllib.error
import urllib.request
from typing import Any

WEBHOOK_VARIABLE = "HEADSTART_WEBHOOK_URL"
# For a run that another run started: that one tells.
MUTED = {WEBHOOK_VARIABLE: ""}
LIMIT_S = 10.0
LONGEST_TEXT = 2000

logger = logging.getLogger(__name__)


def notify(event: str, text: str, **details: str) -> None:
    """Send a message to the webhook that the environment names; without one, do nothing.

    The body is JSON with `text`, which is what Slack, Mattermost and others show, and beside it
    `event` and the details, for programs.

    Args:
        event: `failed`, `crashed`, `waiting` or `released`.
        text: for people.
        details: for programs.
    """
    address = os.environ.get(WEBHOOK_VARIABLE)
    if not address:
        return
    body = json.dumps({"text": text[:LONGEST_TEXT], "event": event, **details}).encode()
    faults: list[str] = []
    # A server that answers a byte at a time outlasts every timeout of a socket.
    sender = threading.Thread(target=_send, args=(address, body, faults), daemon=True)
    sender.start()
    sender.join(LIMIT_S)
    if sender.is_alive():
        faults.append(f"no answer within {LIMIT_S:.0f} s")
    if faults:
        logger.warning("the webhook of %s did not take a message: %s", WEBHOOK_VARIABLE, faults[0])


def notify_of_end(flow: Any, flow_run: Any, state: Any) -> None:
    """A hook of Prefect for a flow run that failed."""
    name = getattr(flow_run, "name", "") or ""
    reason = str(getattr(state, "message", "") or "").removeprefix(
        "Flow run encountered an exception: "
    )
    text = f"headstart: {flow.name} {name} failed: {reason}"
    notify("failed", text, flow=str(flow.name), run=name, reason=reason[:LONGEST_TEXT])


def _send(address: str, body: bytes, faults: list[str]) -> None:
    try:
        request = urllib.request.Request(
            address, data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=LIMIT_S):
            pass
    except urllib.error.HTTPError as error:
        faults.append(f"it answered {error.code}")
    except urllib.error.URLError as error:
        faults.append(_kind(error.reason))
    except Exception as error:  # an address can be wrong in many ways, and none may fail a run
        faults.append(_kind(error))


def _kind(fault: Any) -> str:
    """What went wrong in a word or two: the text of some exceptions holds the address."""
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return type(fault).__name__ if isinstance(fault, BaseException) else "not reached"
