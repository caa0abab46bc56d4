"""A bucket is prepared like a folder: an object is fetched once, nothing is copied to disk."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import server as moto_server

from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import LISTING, PREPARED
from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.errors import DataError
from tasks.prepare.stage import prepare
from tasks.progress import untracked
from tasks.scan.stage import scan
from tests.conftest import TINY, merged, write_params
from tests.hostile import encoded

pytestmark = pytest.mark.slow

CLASSES, IMAGES = 18, 8
BUCKET = {
    "prepare": {
        "source": "image_folder",
        "root": "s3://shop/photos",
        "watch": ["root"],
        "channels": 3,
        "framing": "crop",
        "domains": [],
        "splits": {
            "by": "share",
            "base": [],
            "validation": ["c1", "c2", "c3"],
            "novel": ["c4", "c5", "c6"],
        },
    },
    "evaluate": {"protocols": [{"domain": "novel", "way": 3, "shot": 1}]},
}


@pytest.fixture
def fetched() -> list[str]:
    """The objects that the server was asked for, by whichever process."""
    return []


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, fetched: list[str]) -> Iterator[Any]:
    """A bucket of photographs behind a real server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    serve = running._server.app

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith(".png"):
            fetched.append(environ["PATH_INFO"])
        return serve(environ, start_response)

    running._server.app = counted
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "very secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket="shop")
    for index in range(CLASSES):
        for number in range(IMAGES):
            key = f"photos/c{index}/{number}.png"
            client.put_object(Bucket="shop", Key=key, Body=encoded(100 * index + number))
    yield client
    running.stop()


def test_a_bucket_is_prepared_and_only_what_is_new_is_fetched_again(
    client: Any, fetched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    params = write_params(tmp_path, merged(TINY, BUCKET))
    scan(params, untracked)
    prepare(params, untracked)
    store = ImageStore(PREPARED)
    assert sum(entry["images"] for entry in store.manifest["parts"].values()) == CLASSES * IMAGES
    assert len(set(fetched)) == CLASSES * IMAGES
    fetched.clear()
    scan(params, untracked)
    prepare(params, untracked)
    assert fetched == []
    listed = LISTING.read_bytes()
    client.delete_object(Bucket="shop", Key="photos/c9/0.png")
    client.put_object(Bucket="shop", Key="photos/c9/new.png", Body=encoded(9_001))
    scan(params, untracked)
    assert fetched == ["/shop/photos/c9/new.png"]
    assert LISTING.read_bytes() != listed
    prepare(params, untracked)
    assert set(fetched) == {"/shop/photos/c9/new.png"}
    fetched.clear()
    prepare(params, untracked)
    assert fetched == []
    assert sum(
        one.images
        for part in ("base", "validation", "novel")
        for one in store.classes(part)
        if one.name == "c9"
    ) == IMAGES  # fmt: skip


def test_a_bucket_that_is_not_there_is_told_without_the_key(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = write_params(
        tmp_path, merged(merged(TINY, BUCKET), {"prepare": {"root": "s3://nobody/photos"}})
    )
    with pytest.raises(DataError) as told:
        scan(params, untracked)
    assert "s3://nobody/photos" in str(told.value)
    assert "secret" not in str(told.value) and len(str(told.value).splitlines()) == 1
