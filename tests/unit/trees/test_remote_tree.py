"""What lies at an address reads like a folder, waits for nobody for long, and keeps secrets."""

import io
import pickle
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import fsspec
import pytest

from tasks.errors import DataError
from tasks.trees import remote_files, remote_tree
from tasks.trees.archive_tree import ArchiveTree
from tasks.trees.open_tree import open_file_bytes, open_tree
from tasks.trees.remote_faults import fault
from tasks.trees.remote_tree import RemoteTree
from tasks.trees.tree import Leaf, Refusal, Tree

FILES = {"a/1.png": b"first", "a/2.png": b"second", "b/3.jpg": b"third"}


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, one in files.items():
            archive.writestr(name, one)
    return content.getvalue()


def paths(tree: Tree) -> list[str]:
    return [one.path for one in tree.walk() if isinstance(one, Leaf)]


def refused(url: str) -> str:
    """The one line with which an address is refused."""
    with pytest.raises(DataError) as caught:
        list(open_tree(url).walk())
    message = str(caught.value)
    assert "\n" not in message
    assert "secret" not in message
    return message


@pytest.fixture
def memory() -> Iterator[Callable[..., str]]:
    """Puts files into a new folder of memory://."""
    fs = fsspec.filesystem("memory")

    def put(files: dict[str, bytes]) -> str:
        for name, content in files.items():
            fs.pipe(f"/pictures/{name}", content)
        return "memory://pictures"

    yield put
    fs.rm("/pictures", recursive=True)


# An object store.


def test_objects_come_by_name(memory: Callable[..., str]) -> None:
    tree = open_tree(memory(FILES))
    assert isinstance(tree, RemoteTree)
    found = list(tree.walk())
    assert paths(tree) == list(FILES)
    assert list(tree.stat(list(FILES))) == found
    assert list(tree.read([*FILES, "a/1.png"])) == [*FILES.values(), b"first"]
    assert not tree.sequential
    assert tree.root == "memory://pictures"


def test_what_is_no_image_is_refused_and_litter_is_passed_over(memory: Callable[..., str]) -> None:
    odd = {"a.txt": b"x", "empty.png": b"", ".git/a.png": b"x", "a/Thumbs.db": b"x"}
    tree = open_tree(memory({**FILES, **odd}))
    found = {one.path: one for one in tree.walk() if isinstance(one, Refusal)}
    assert set(found) == {"a.txt", "empty.png"}
    assert [found["a.txt"].counts, found["empty.png"].counts] == [False, True]


def test_objects_that_go_meanwhile_are_refused(memory: Callable[..., str]) -> None:
    tree = open_tree(memory(FILES))
    asked = ["a/1.png", "none.png", "../pictures/a/1.png", "/etc/a.png", ".b/c.png", "a"]
    first, *others = tree.read(asked)
    assert first == b"first"
    assert all(isinstance(one, Refusal) for one in others)
    leaf, *others = tree.stat(asked)
    assert isinstance(leaf, Leaf)
    assert all(isinstance(one, Refusal) for one in others)


def test_large_objects_are_fetched_alone_and_too_large_ones_refused(
    memory: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_tree, "FIRST_BYTES", 10)
    monkeypatch.setattr(remote_tree, "MAXIMUM_FILE_BYTES", 12)
    monkeypatch.setattr("tasks.trees.tree.MAXIMUM_FILE_BYTES", 12)
    tree = open_tree(memory({f"{size}.png": bytes(size) for size in (9, 10, 11, 12, 13, 500)}))
    *read, over, far_over = tree.read([f"{size}.png" for size in (9, 10, 11, 12, 13, 500)])
    assert read == [bytes(size) for size in (9, 10, 11, 12)]
    assert isinstance(over, Refusal)
    assert over == Refusal("13.png", "found 13 bytes, needed at most 12 a file")
    assert isinstance(far_over, Refusal)
    assert paths(tree) == ["10.png", "11.png", "12.png", "9.png"]


def test_many_objects_are_fetched_in_chunks(
    memory: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_tree, "AT_ONCE", 7)
    files = {f"{index:03}.png": b"%d" % index for index in range(50)}
    tree = open_tree(memory(files))
    assert list(tree.read(list(files))) == list(files.values())
    assert len(list(tree.stat(list(files)))) == 50


def test_the_mark_is_the_stores_own() -> None:
    etag = {"size": 3, "ETag": '"abc"', "LastModified": "monday"}
    assert remote_files.mark_of(etag) == "3-abc"
    assert remote_files.mark_of({"size": 3, "generation": "7", "updated": "x"}) == "3-7"
    assert remote_files.mark_of({"size": 3, "mtime": 5.0}) == "3-5.0"


def test_a_server_that_tells_neither_checksum_nor_date_leaves_no_mark() -> None:
    assert remote_files.mark_of({"size": 3, "type": "file", "ETag": "", "mtime": None}) == ""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("a/1.png")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"first"))

    class Unmarked(io.BytesIO):
        size_bytes = len(content.getvalue())
        mark = ""

        def read_at(self, offset: int, length: int) -> bytes:
            return self.getvalue()[offset : offset + length]

    tree = ArchiveTree("web", lambda: Unmarked(content.getvalue()))
    assert [one.mark for one in tree.walk() if isinstance(one, Leaf)] == [""]


def test_an_archive_in_a_store_is_read_where_it_lies(memory: Callable[..., str]) -> None:
    root = memory({"images": zipped(FILES)})
    tree = open_tree(f"{root}/images")
    assert isinstance(tree, ArchiveTree)
    assert paths(tree) == list(FILES)
    assert list(tree.read(list(FILES))) == list(FILES.values())
    assert list(pickle.loads(pickle.dumps(tree)).read(["b/3.jpg"])) == [b"third"]
    with pytest.raises(DataError, match="found a file, needed a folder"):
        list(RemoteTree(f"{root}/images").walk())


def test_a_table_in_a_store_is_read_whole_or_not_at_all(memory: Callable[..., str]) -> None:
    root = memory({"table.csv": b"path,label\n"})
    assert open_file_bytes(f"{root}/table.csv", 11) == b"path,label\n"
    with pytest.raises(DataError, match="more than 10 bytes"):
        open_file_bytes(f"{root}/table.csv", 10)
    with pytest.raises(DataError, match="nothing is there"):
        open_file_bytes(f"{root}/none.csv", 10)


def test_a_copy_in_another_process_opens_its_own_file_system(memory: Callable[..., str]) -> None:
    tree = open_tree(memory(FILES))
    list(tree.walk())
    copy = pickle.loads(pickle.dumps(tree))
    assert copy._store._fs is None
    assert list(copy.read(["a/1.png"])) == [b"first"]


# What can be wrong with an address.


def test_an_address_of_nothing_is_one_line() -> None:
    assert refused("memory://none/such").endswith("nothing is there, needed a folder of images")
    assert "needed s3://" in refused("nope://bucket/folder")
    for url in ("s3://", "https://", "zip://a.png::s3://bucket/a.zip", "https://[::1/a"):
        assert "needed one such as" in refused(url)


def test_a_missing_plugin_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"class": "no_such_package.FileSystem", "err": "install secret"}
    known = sys.modules["fsspec.registry"].known_implementations
    monkeypatch.setitem(known, "unplugged", entry)
    assert refused("unplugged://bucket/folder").endswith("pip install 'headstart[remote]'")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@127.0.0.1:9/images.zip",
        "https://127.0.0.1:9/images.zip?X-Amz-Signature=secret",
        "https://user:p@secret@127.0.0.1:9/images.zip#secret",
        "https://user:se/cret@127.0.0.1:9/images.zip?secret",
        "nope://key:secret@bucket/folder?token=secret",
    ],
)
def test_credentials_stay_out_of_messages(url: str) -> None:
    message = refused(url)
    assert "user" not in message.replace("in a user or password", "")
    assert "cret@" not in message


@pytest.mark.parametrize(
    ("error", "words", "lasting"),
    [
        (FileNotFoundError("secret"), "nothing is there", True),
        (PermissionError("secret"), "access denied", True),
        (TimeoutError("secret"), "no answer in time", False),
        (ConnectionResetError("secret"), "cannot be reached", False),
        (OSError(5, "secret"), "cannot be read: OSError", False),
        (KeyError("secret"), "cannot be read: KeyError", False),
    ],
)
def test_faults_are_told_without_their_text(error: Exception, words: str, lasting: bool) -> None:
    found = fault(error)
    assert found.words.startswith(words)
    assert found.lasting == lasting
    assert "secret" not in found.words


def test_local_work_loads_no_remote_library() -> None:
    code = (
        "import sys, tasks.trees.open_tree as o; list(o.open_tree('tasks').walk());"
        "print({'fsspec', 'aiohttp', 's3fs', 'torch'} & {*sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"


# The web.


class Site(ThreadingHTTPServer):
    """A web server of this machine; `served` counts the bytes of content it has sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.fails_once: set[str] = set()
        self.ranges = True
        self.served = 0
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def _answer(self, with_content: bool) -> None:
        site = self.server
        site.seen.append(self.path)
        name = unquote(self.path.partition("?")[0])
        status = site.statuses.get(name, 200 if name in site.files else 404)
        if name in site.fails_once:
            site.fails_once.remove(name)
            status = 500
        content = site.files.get(name, b"") if status == 200 else b""
        asked = self.headers.get("Range") if site.ranges else None
        if status == 200 and asked is not None:
            first, last = asked.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1]
            status = 206 if content else 416
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"tag"')
        if not site.ranges:
            self.send_header("Accept-Ranges", "none")
        self.end_headers()
        if with_content:
            site.served += len(content)
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_of_an_archive_on_the_web_only_needed_parts_are_fetched(site: Site) -> None:
    files = {f"{index}.png": bytes([index]) * 2**20 for index in range(12)}
    site.files["/images.zip"] = zipped(files)
    tree = open_tree(f"{site.url}/images.zip?signature=secret")
    assert isinstance(tree, ArchiveTree)
    assert tree.root == f"{site.url}/images.zip"
    assert paths(tree) == list(files)
    assert list(tree.read(["6.png"])) == [files["6.png"]]
    assert site.served < 5 * 2**20
    assert all(path.endswith("?signature=secret") for path in site.seen)


@pytest.mark.parametrize("name", ["/download", "/files/7?name=x"])
def test_an_archive_on_the_web_needs_no_suffix(site: Site, name: str) -> None:
    site.files[name.partition("?")[0]] = zipped(FILES)
    assert paths(open_tree(site.url + name)) == list(FILES)


def test_a_web_server_cannot_be_listed(site: Site) -> None:
    site.files["/page"] = b"<html>" * 200
    for name in ("/images/", "/images", "/page"):
        assert "needed the address of an archive" in refused(site.url + name)


def test_files_that_a_table_names_are_read_from_the_web(site: Site) -> None:
    odd = "a b#1?%.png"
    site.files = {f"/data/{name}": content for name, content in {**FILES, odd: b"odd"}.items()}
    site.files["/data/table.csv"] = b"path,label\n"
    tree = open_tree(f"{site.url}/data/?token=secret")
    asked = [*FILES, odd]
    assert list(tree.read(asked)) == [*FILES.values(), b"odd"]
    assert next(iter(tree.stat(asked))) == Leaf("a/1.png", 5, "5-tag")
    assert all(isinstance(one, Leaf) for one in tree.stat(asked))
    (gone,) = tree.read(["none.png"])
    assert gone == Refusal("none.png", "nothing is there")
    assert all(path.endswith("?token=secret") for path in site.seen)
    assert open_file_bytes(f"{site.url}/data/table.csv", 100) == b"path,label\n"


def test_what_the_web_denies_is_refused_and_what_it_cannot_do_now_stops(site: Site) -> None:
    site.statuses = {"/denied.png": 403, "/busy.png": 503}
    tree = open_tree(f"{site.url}/")
    (denied,) = tree.read(["denied.png"])
    (denied_too,) = tree.stat(["denied.png"])
    assert denied == denied_too
    assert isinstance(denied, Refusal)
    assert "access denied" in denied.reason
    for ask in (tree.read, tree.stat):
        with pytest.raises(DataError, match="cannot be read: .* 503"):
            list(ask(["busy.png"]))


def test_a_fault_that_passes_loses_nothing(site: Site) -> None:
    site.files = {f"/{name}": content for name, content in FILES.items()}
    site.fails_once = {"/a/2.png"}
    assert list(open_tree(f"{site.url}/").read(list(FILES))) == list(FILES.values())
    assert not site.fails_once


def test_an_archive_on_a_server_without_ranges_says_so(site: Site) -> None:
    site.ranges = False
    site.files["/images.zip"] = zipped({**FILES, "large.png": bytes(3 * 2**20)})
    assert "download the file" in refused(f"{site.url}/images.zip")


def test_an_archive_that_is_not_there_is_one_line(site: Site) -> None:
    assert "nothing is there" in refused(f"{site.url}/images.zip")
    site.statuses["/images.zip"] = 403
    assert "access denied" in refused(f"{site.url}/images.zip")


@pytest.mark.timeout(60)  # it hangs where this is broken
def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "READ_TIMEOUT_S", 0.3)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert "no answer in time" in refused(f"{url}/images.zip")
        with pytest.raises(DataError, match="no answer in time"):
            list(open_tree(f"{url}/").read(["a.png"]))
        with pytest.raises(DataError, match="no answer in time"):
            open_file_bytes(f"{url}/table.csv", 10)


def test_a_file_system_that_cannot_be_told_to_stop_is_left_behind(
    memory: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "DEADLINE_S", 0.2)
    root = memory(FILES)
    fs = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(fs, "info", lambda *_: time.sleep(1))
    assert "no answer in time" in refused(root)
