"""Places for DVC's remote: a folder, and a bucket of a real S3 server on loopback."""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import server as moto_server

from tests.integration.conftest import Toy

SECRET = "a-secret-that-nobody-may-read"
_NUMBERS = count(1)  # of buckets: all servers of a process share what is in them


class Store(ABC):
    """Where a remote lies, by the keys of its objects."""

    url: str
    env: dict[str, str]

    def add_to(self, toy: Toy) -> None:
        """Make it the default remote of a project, in the settings that git keeps."""
        toy.env |= self.env
        code, output = toy.run("dvc", "remote", "add", "-q", "-f", "--default", "store", self.url)
        assert code == 0, output

    @abstractmethod
    def keys(self) -> list[str]: ...

    @abstractmethod
    def read(self, key: str) -> bytes: ...

    @abstractmethod
    def write(self, key: str, content: bytes) -> None: ...

    @abstractmethod
    def remove(self, key: str) -> None: ...

    def objects(self) -> list[str]:
        return [key for key in self.keys() if key.startswith("files/md5/")]

    def key_of(self, content: bytes) -> str:
        """The object that holds this."""
        return next(key for key in self.objects() if self.read(key) == content)


class Folder(Store):
    def __init__(self, place: Path) -> None:
        self.place = place
        self.url = str(place)
        self.env = {}

    def keys(self) -> list[str]:
        files = sorted(path for path in self.place.rglob("*") if path.is_file())
        return [str(path.relative_to(self.place)) for path in files]

    def read(self, key: str) -> bytes:
        return (self.place / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        path = self.place / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)  # as DVC leaves it, and takes it for whole

    def remove(self, key: str) -> None:
        (self.place / key).unlink()

    def empty(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)


class Bucket(Store):
    """`refuse` and `asked` see every request; a request that is refused gets 403."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.asked: list[tuple[str, str]] = []
        self.refuse: Callable[[str], bool] = lambda _: False
        self.server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        endpoint = "http://{}:{}".format(*self.server.get_host_and_port())
        serve = self.server._server.app

        def watched(environ: dict[str, Any], start_response: Any) -> Any:
            method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            if self.refuse(method):
                start_response("403 Forbidden", [("Content-Type", "application/xml")])
                return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
            self.asked.append((method, path))
            return serve(environ, start_response)

        self.server._server.app = watched
        self.bucket = f"shop-{next(_NUMBERS)}"
        self.url = f"s3://{self.bucket}/dvc"
        self.env = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "the-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="the-key",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=self.bucket)

    def fetched(self) -> list[str]:
        """The objects that were really read, in order."""
        start = f"/{self.bucket}/dvc/"
        return [path[len(start) :] for method, path in self.asked
                if method == "GET" and path.startswith(start)]  # fmt: skip

    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix="dvc/").get("Contents", [])
        return sorted(one["Key"].removeprefix("dvc/") for one in found)

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.bucket, Key=f"dvc/{key}")["Body"].read())

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"dvc/{key}", Body=content)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"dvc/{key}")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    made.server.stop()


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "bucket":
        return request.getfixturevalue("bucket")
    return Folder(tmp_path / "store")
