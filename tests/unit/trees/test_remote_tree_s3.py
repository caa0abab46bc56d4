"""The same against a server that speaks S3, on this machine."""

import io
import logging
import multiprocessing
import socket
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from moto import server as moto_server

from tasks.errors import DataError
from tasks.trees import remote_files
from tasks.trees.archive_tree import ArchiveTree
from tasks.trees.open_tree import open_file_bytes, open_tree
from tasks.trees.remote_tree import FIRST_BYTES, RemoteTree
from tasks.trees.tree import Leaf, Refusal, Tree

pytestmark = pytest.mark.slow


COUNT = 1_010  # a listing has at most 1,000 objects a page
LARGE = bytes(range(256)) * (FIRST_BYTES // 256 + 1)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 that holds a bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    _fill(url)
    yield url
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    return "s3://bucket"


def _fill(url: str) -> None:
    import boto3

    client: Any = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="bucket")
    files = {f"data/class {index % 3}/é {index}.png": b"%d" % index for index in range(COUNT)}
    files |= {"data/class 0/": b"", "data/class 0/.x.png": b"x", "data/a/../x.png": b"x"}
    files |= {"data/read.me": b"x", "other/large.png": LARGE, "data2/x.png": b"x"}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        member = tarfile.TarInfo("a/b.png")
        member.size = 5
        packed.addfile(member, io.BytesIO(b"image"))
    files |= {"archives/images": archive.getvalue(), "table.csv": b"path,label\n"}
    for key, content in files.items():
        client.put_object(Bucket="bucket", Key=key, Body=content)


def read_in_another_process(tree: Tree, path: str) -> bytes | Refusal:
    return next(iter(tree.read([path])))


def refused(url: str) -> str:
    with pytest.raises(DataError) as caught:
        list(open_tree(url).walk())
    message = str(caught.value)
    assert message.startswith(f"{url}: ")
    assert "\n" not in message
    assert "secret" not in message
    return message


def test_all_objects_below_a_prefix_are_listed_and_read(bucket: str) -> None:
    tree = open_tree(f"{bucket}/data")
    found = list(tree.walk())
    leaves = [one for one in found if isinstance(one, Leaf)]
    assert len(leaves) == COUNT
    assert {one.path for one in found if isinstance(one, Refusal)} == {"a/../x.png", "read.me"}
    names = [one.path for one in leaves]
    assert names == sorted(names)
    some = leaves[::40]
    numbers = [int(one.path.split()[-1].removesuffix(".png")) for one in some]
    assert list(tree.read([one.path for one in some])) == [b"%d" % number for number in numbers]
    assert list(tree.stat([one.path for one in some])) == some
    assert len({one.mark for one in leaves}) == COUNT  # ETags


def test_large_objects_are_read_whole(bucket: str) -> None:
    assert list(open_tree(f"{bucket}/other").read(["large.png"])) == [LARGE]


def test_objects_that_are_not_there_are_refused(bucket: str) -> None:
    tree = open_tree(f"{bucket}/data")
    gone = Refusal("none.png", "nothing is there")
    assert list(tree.read(["none.png"])) == list(tree.stat(["none.png"])) == [gone]


def test_a_bucket_alone_is_a_root(bucket: str) -> None:
    tree = open_tree(bucket)
    assert isinstance(tree, RemoteTree)
    assert list(tree.read(["data2/x.png"])) == [b"x"]


def test_archives_and_tables_in_a_bucket_are_read(bucket: str) -> None:
    tree = open_tree(f"{bucket}/archives/images")
    assert isinstance(tree, ArchiveTree)
    assert tree.sequential
    assert list(tree.read(["a/b.png"])) == [b"image"]
    assert open_file_bytes(f"{bucket}/table.csv", 100) == b"path,label\n"


def test_a_spawned_process_reads_from_its_copy(bucket: str) -> None:
    tree = open_tree(f"{bucket}/data")
    next(iter(tree.walk()))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        future = pool.submit(read_in_another_process, tree, "class 1/é 1.png")
        assert future.result(60) == b"1"


def test_what_is_not_there_is_one_line(bucket: str) -> None:
    assert "nothing is there" in refused("s3://no-such-bucket/data")
    assert "nothing is there" in refused(f"{bucket}/none")


def test_without_credentials_it_says_so(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "FSSPEC_S3_ANON=true" in refused(f"{bucket}/data")


def test_access_that_is_denied_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Denying(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Denying) as denying:
        Thread(target=denying.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{denying.server_port}")
        assert "access denied" in refused("s3://bucket/data")
        denying.shutdown()


@pytest.mark.timeout(60)  # it hangs where this is broken
def test_a_host_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "cannot be reached" in refused("s3://bucket/data")


@pytest.mark.timeout(60)  # it hangs where this is broken
def test_a_host_that_never_answers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "READ_TIMEOUT_S", 0.5)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert "no answer in time" in refused("s3://bucket/data")
