import pytest

from flows.patience import STAGE_TIMEOUT_S, TIMEOUT_VARIABLE, StillAtWorkError, stage_timeout_s
from flows.repro import StageFailedError, run_bound, run_limited
from tasks.errors import ParametersError


def test_a_stage_may_take_long_unless_something_else_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TIMEOUT_VARIABLE, raising=False)
    assert stage_timeout_s() == STAGE_TIMEOUT_S
    monkeypatch.setenv(TIMEOUT_VARIABLE, "90")
    assert stage_timeout_s() == 90


@pytest.mark.parametrize("told", ["soon", "0", "-1", "nan"])
def test_what_is_no_time_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, told)
    with pytest.raises(ParametersError, match=f"{TIMEOUT_VARIABLE}: found '{told}', needed"):
        stage_timeout_s()


def test_a_child_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(StillAtWorkError):
        run_bound(("dvc", "--version"), lambda _: None, timeout_s=0)


def test_a_remote_that_hangs_is_told_like_a_stage_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "0.01")
    with pytest.raises(StageFailedError, match="^push: still at work after 0 s") as told:
        run_limited("push", ("dvc", "--version"), lambda _: None)
    assert told.value.exit_code == 124
