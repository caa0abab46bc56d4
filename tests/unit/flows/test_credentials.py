from pathlib import Path

import pytest

from flows.credentials import check_no_credentials, masking
from tasks.errors import ParametersError

REMOTE = "[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n    {setting}\n"


def project(root: Path, url: str = "s3://shop/dvc", setting: str = "region = x") -> Path:
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(REMOTE.format(url=url, setting=setting))
    (root / "params.yaml").write_text("prepare:\n  root: data/images\n")
    return root


def test_an_address_a_profile_and_a_path_to_credentials_may_be_committed(tmp_path: Path) -> None:
    check_no_credentials(project(tmp_path, setting="profile = team"))
    check_no_credentials(tmp_path)


@pytest.mark.parametrize("name", ["access_key_id", "secret_access_key", "password", "sas_token"])
def test_credentials_in_committed_settings_are_refused_and_never_printed(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(ParametersError) as told:
        check_no_credentials(project(tmp_path, setting=f"{name} = very-secret"))
    text = str(told.value)
    assert f".dvc/config: found {name}" in text
    assert f"dvc remote modify --local NAME {name} VALUE" in text
    assert "very-secret" not in text


def test_a_password_in_an_address_is_refused_wherever_git_keeps_it(tmp_path: Path) -> None:
    project(tmp_path, url="https://me:very-secret@store.example/dvc")
    with pytest.raises(ParametersError) as told:
        check_no_credentials(tmp_path)
    assert "very-secret" not in str(told.value)
    (tmp_path / ".dvc/config").unlink()
    (tmp_path / "params.yaml").write_text("prepare:\n  root: https://me:very-secret@store/x\n")
    with pytest.raises(ParametersError, match=r"params\.yaml: found a password in an address"):
        check_no_credentials(tmp_path)


def test_secrets_of_the_environment_and_of_local_settings_are_masked_in_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path)
    (tmp_path / ".dvc/config.local").write_text(
        "['remote \"store\"']\n    secret_access_key = 'of a file'\n    region = eu-north\n"
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "whose-it-is")
    monkeypatch.setenv("HEADSTART_WEBHOOK_URL", "https://hooks/of-ours")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "really")
    mask = masking(tmp_path)
    line = "of a file, of-the-environment, whose-it-is, https://hooks/of-ours"
    assert mask(line) == "***, ***, ***, ***"
    line = "https://me:hidden@store/x, really eu-north"
    assert mask(line) == "https://me:***@store/x, really eu-north"
