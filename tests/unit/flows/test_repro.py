import pytest

from flows.repro import diagnose


@pytest.mark.parametrize(
    ("code", "tail", "verdict", "text", "exit_code", "worth_retrying"),
    [
        (255, [], {"state": "failed", "exit_code": 2, "error": "a\nb"}, "s: a\ns: b", 2, False),
        (255, [], {"state": "failed", "exit_code": 75, "error": "busy"}, "s: busy", 75, True),
        (255, [], {"state": "running"}, "s: the stage was killed", 1, True),
        (-9, [], {"state": "running"}, "s: DVC was killed (SIGKILL)", 1, True),
        (
            255,
            ["ERROR: 'out' is busy, it is being blocked by:"],
            None,
            "s: another DVC process",
            75,
            True,
        ),
        (255, ["ERROR: failed to pull data from the cloud"], None, "s: failed to pull", 1, True),
        (2, ["ERROR: out: DVC's remote cannot be used: Access Denied"], None, "s: out", 2, False),
        (2, ["ERROR: out: Could not connect to the endpoint"], None, "s: out", 2, True),
        (2, ["ERROR: out: the remote holds x, which is damaged"], None, "s: out", 2, False),
        (255, ["x", "ERROR: missing data 'source'"], None, "s: missing data 'source'", 1, False),
    ],
)
def test_only_faults_that_pass_by_themselves_are_worth_retrying(
    code: int,
    tail: list[str],
    verdict: dict[str, object] | None,
    text: str,
    exit_code: int,
    worth_retrying: bool,
) -> None:
    fault = diagnose("s", code, tail, verdict)
    assert str(fault).startswith(text)
    assert fault.exit_code == exit_code
    assert fault.worth_retrying is worth_retrying
