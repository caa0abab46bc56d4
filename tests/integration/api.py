"""A server of Prefect from outside, by its HTTP API alone."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Api:
    """The API of one server."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str) -> Any:
        with OPENER.open(f"{self.address}/{path}", timeout=30) as response:
            return json.load(response)

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.address}/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        for pause_s in (1, 2, 4, None):
            try:
                with OPENER.open(request, timeout=30) as response:
                    text = response.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                # SQLite is being written to; Prefect's own client asks again, too.
                if error.code != 503 or pause_s is None:
                    raise
                time.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.get(f"deployments/name/{name}"))

    def start(self, name: str, **parameters: Any) -> str:
        """Start a run of a deployment now; its id."""
        path = f"deployments/{self.deployment(name)['id']}/create_flow_run"
        return str(self.post(path, {"parameters": parameters})["id"])

    def state(self, run: str) -> str:
        return str(self.get(f"flow_runs/{run}")["state"]["name"])

    def logs(self, run: str) -> str:
        asked = {"logs": {"flow_run_id": {"any_": [run]}}}
        return "\n".join(line["message"] for line in self.post("logs/filter", asked))


def api_of(process: subprocess.Popen[str]) -> Api:
    """The API that a process names in its output, once it does."""
    assert process.stdout is not None
    said = ""
    while line := process.stdout.readline():
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/api", line):
            return Api(found[0])
    raise AssertionError(f"it ended before it named its server: {said}")
