"""A folder is walked whole, and nothing outside of it is touched, whatever lies in it."""

import os
import pickle
import socket
import sys
from pathlib import Path

import pytest

from tasks.errors import DataError
from tasks.trees import local_tree, tree
from tasks.trees.local_tree import LocalTree
from tasks.trees.open_tree import open_file_bytes, open_tree
from tasks.trees.tree import Leaf, Refusal

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def put(path: Path, content: bytes = b"image") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def leaves(root: Path) -> list[str]:
    return [one.path for one in LocalTree(root).walk() if isinstance(one, Leaf)]


def refusals(root: Path) -> dict[str, Refusal]:
    return {one.path: one for one in LocalTree(root).walk() if isinstance(one, Refusal)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_files_come_by_name_then_folders_by_name(root: Path) -> None:
    for name in ("b/2.png", "b/1.PNG", "a/x/3.jpeg", "a/4.webp", "0.png"):
        put(root / name)
    assert leaves(root) == ["0.png", "a/4.webp", "a/x/3.jpeg", "b/1.PNG", "b/2.png"]
    assert list(LocalTree(root).walk()) == list(LocalTree(root).walk())


def test_content_comes_in_the_order_asked_for(root: Path) -> None:
    put(root / "a.png", b"first")
    put(root / "b.png", b"second")
    assert list(LocalTree(root).read(["b.png", "a.png", "b.png"])) == [
        b"second",
        b"first",
        b"second",
    ]


def test_the_mark_is_another_one_whenever_a_file_was_written(root: Path) -> None:
    file = put(root / "a.png", b"one")
    marks = set()
    for time_ns in (1, 2):
        os.utime(file, ns=(time_ns, time_ns))
        (leaf,) = LocalTree(root).walk()
        assert isinstance(leaf, Leaf)
        marks.add(leaf.mark)
    os.utime(put(root / "new", b"two"), ns=(2, 2))
    (root / "new").replace(file)
    (leaf,) = LocalTree(root).walk()
    assert isinstance(leaf, Leaf)
    assert leaf.size_bytes == 3
    assert len(marks | {leaf.mark}) == 3


def test_stat_says_the_same_as_walk(root: Path) -> None:
    put(root / "a/1.png")
    put(root / "a/2.txt")
    put(root / "a/3.png", b"")
    found = list(LocalTree(root).walk())
    assert list(LocalTree(root).stat([one.path for one in found])) == found


def test_other_suffixes_are_refused_and_do_not_count(root: Path) -> None:
    put(root / "read.me.txt")
    put(root / "LICENSE")
    found = refusals(root)
    assert "suffix .txt is not an image's" in found["read.me.txt"].reason
    assert "no suffix" in found["LICENSE"].reason
    assert not any(one.counts for one in found.values())


def test_what_systems_leave_is_passed_over(root: Path) -> None:
    for name in (".hidden.png", ".git/a.png", "__MACOSX/a.png", "a/Thumbs.db", "a/@eaDir/b.png"):
        put(root / name)
    put(root / "a/1.png")
    assert [one.path for one in LocalTree(root).walk()] == ["a/1.png"]


def test_empty_and_large_files_are_refused(root: Path) -> None:
    put(root / "empty.png", b"")
    with (root / "large.png").open("wb") as file:
        file.truncate(tree.MAXIMUM_FILE_BYTES + 1)
    found = refusals(root)
    assert "empty" in found["empty.png"].reason
    assert "needed at most 268,435,456" in found["large.png"].reason
    assert found["empty.png"].counts
    assert found["large.png"].counts
    assert list(LocalTree(root).read(["empty.png", "large.png"])) == [*found.values()]


def test_pipes_sockets_and_devices_are_refused_and_never_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    (root / "link.png").symlink_to("pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket is short
        try:
            listening.bind("socket.png")
        finally:
            os.chdir(here)
        found = refusals(root)
        assert "a pipe" in found["pipe.png"].reason
        assert "a pipe" in found["link.png"].reason
        assert "a socket" in found["socket.png"].reason
        content = list(LocalTree(root).read([*found]))
    assert all(isinstance(one, Refusal) for one in content)
    with pytest.raises(DataError, match="found a device"):
        open_tree("/dev/zero")
    with pytest.raises(DataError, match="found a pipe"):
        open_tree(str(root / "pipe.png"))
    with pytest.raises(DataError, match="found a pipe"):
        open_file_bytes(str(root / "pipe.png"), 10)


def test_a_pipe_that_took_a_files_place_is_not_waited_for(root: Path) -> None:
    descriptor, _ = local_tree.open_regular(put(root / "a.png"))
    os.close(descriptor)
    (root / "a.png").unlink()
    os.mkfifo(root / "a.png")
    (content,) = LocalTree(root).read(["a.png"])
    assert isinstance(content, Refusal)
    assert "a pipe" in content.reason


def test_links_inside_the_root_are_followed(root: Path) -> None:
    put(root / "a/1.png", b"linked")
    (root / "a/2.png").symlink_to("1.png")
    (root / "3.png").symlink_to(root / "a/1.png")
    put(root / ".store/b/4.png")
    (root / "b").symlink_to(".store/b")
    assert leaves(root) == ["3.png", "a/1.png", "a/2.png", "b/4.png"]
    assert list(LocalTree(root).read(["a/2.png", "3.png"])) == [b"linked", b"linked"]


def test_a_root_that_is_a_link_is_followed(root: Path) -> None:
    put(root / "a/1.png")
    (root.parent / "link").symlink_to("root")
    assert leaves(root.parent / "link") == ["a/1.png"]


def test_links_out_of_the_root_are_refused(root: Path) -> None:
    secret = put(root.parent / "outside/secret.png", b"secret")
    put(root.parent / "root2/secret.png", b"secret")
    (root / "file.png").symlink_to(secret)
    (root / "folder").symlink_to(secret.parent)
    (root / "up").symlink_to("..")
    (root / "neighbour.png").symlink_to("../root2/secret.png")
    found = refusals(root)
    assert set(found) == {"file.png", "folder", "up", "neighbour.png"}
    assert all("out of the root" in one.reason for one in found.values())
    asked = ["file.png", "folder/secret.png", "neighbour.png", "../outside/secret.png", str(secret)]
    for one in (*LocalTree(root).read(asked), *LocalTree(root).stat(asked)):
        assert isinstance(one, Refusal)


def test_a_folder_that_became_a_link_out_is_not_read_through(root: Path) -> None:
    put(root / "a/1.png")
    put(root.parent / "outside/1.png", b"secret")
    (leaf,) = LocalTree(root).walk()
    (root / "a/1.png").unlink()
    (root / "a").rmdir()
    (root / "a").symlink_to(root.parent / "outside")
    (content,) = LocalTree(root).read([leaf.path])
    assert isinstance(content, Refusal)


def test_circles_end(root: Path) -> None:
    put(root / "a/1.png")
    (root / "a/again").symlink_to("../a")
    (root / "a/top").symlink_to("..")
    (root / "self.png").symlink_to("self.png")
    (root / "b.png").symlink_to("c.png")
    (root / "c.png").symlink_to("b.png")
    put(root / ".far/2.png")
    (root / ".far/round").symlink_to("../.far")
    (root / "far").symlink_to(".far")
    assert leaves(root) == ["a/1.png", "far/2.png"]
    found = refusals(root)
    assert set(found) == {"a/again", "a/top", "self.png", "b.png", "c.png", "far/round"}
    assert {one.reason for one in found.values()} == {"a link in a circle"}


def test_a_linked_folder_is_walked_once_under_its_own_name(root: Path) -> None:
    put(root / "z/1.png")
    (root / "a").symlink_to("z")
    assert leaves(root) == ["z/1.png"]
    assert refusals(root)["a"] == Refusal("a", "the same folder as z", counts=False)


def test_of_two_links_to_a_hidden_folder_the_second_is_refused(root: Path) -> None:
    put(root / ".store/1.png")
    (root / "a").symlink_to(".store")
    (root / "b").symlink_to(".store")
    assert leaves(root) == ["a/1.png"]
    assert refusals(root)["b"].reason == "the same folder as a"


def test_links_to_nothing_are_refused(root: Path) -> None:
    (root / "gone.png").symlink_to("nowhere.png")
    assert "nothing" in refusals(root)["gone.png"].reason


@pytest.mark.skipif(AS_ROOT, reason="root reads everything")
def test_what_may_not_be_read_is_refused(root: Path) -> None:
    put(root / "a.png").chmod(0)
    put(root / "b/1.png").parent.chmod(0)
    try:
        found = refusals(root)
        (content,) = LocalTree(root).read(["a.png"])
    finally:
        (root / "b").chmod(0o700)
    assert "cannot be read: Permission denied" in found["b"].reason
    assert isinstance(content, Refusal)
    assert "Permission denied" in content.reason


def test_a_folder_that_cannot_be_listed_is_refused_and_the_rest_is_walked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "a/1.png")
    put(root / "b/1.png")
    names = local_tree._entries

    def denied(folder: Path) -> list[str]:
        if folder.name == "a":
            raise PermissionError(13, "Permission denied")
        return names(folder)

    monkeypatch.setattr(local_tree, "_entries", denied)
    assert leaves(root) == ["b/1.png"]
    assert refusals(root)["a"].counts


@pytest.mark.skipif(sys.platform != "linux", reason="other systems forbid such names")
def test_names_may_be_any_bytes(root: Path) -> None:
    names = [
        b"\xff\xfe.png",
        b"new\nline.png",
        b"x" * 251 + b".png",
        "é".encode() + b".png",
        b" .png",
    ]
    for name in (*names, b"\xf0folder/a.png"):
        put(root / os.fsdecode(name), name)
    found = leaves(root)
    assert {os.fsencode(path) for path in found} == {*names, b"\xf0folder/a.png"}
    assert {*LocalTree(root).read(found)} == {*names, b"\xf0folder/a.png"}
    assert tree.printable("\udcff") == "\\xff"


def test_folders_may_be_deeper_than_python_recurses(root: Path) -> None:
    deep = root
    for _ in range(1_100):
        deep /= "d"
        deep.mkdir()
    file = put(deep / "a.png")
    try:
        (leaf,) = leaves(root)
        assert leaf.count("/") == 1_100
        assert list(LocalTree(root).read([leaf])) == [b"image"]
    finally:
        file.unlink()
        while deep != root:  # what clears up after the tests recurses
            deep.rmdir()
            deep = deep.parent


def test_what_lies_deeper_than_the_system_reaches_is_refused(root: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(root)
        for _ in range(25):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
        Path("a.png").write_bytes(b"image")
        assert leaves(root) == []
        (refusal,) = refusals(root).values()
        assert "File name too long" in refusal.reason
    finally:
        os.fchdir(here)
        os.close(here)


def test_files_that_go_or_change_meanwhile_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "gone.png").unlink()
    put(root / "growing.png", b"more than it said")
    opened = local_tree.open_regular

    def smaller(path: Path) -> tuple[int, os.stat_result]:
        descriptor, status = opened(path)
        return descriptor, os.stat_result((*status[:6], 4, *status[7:]))

    monkeypatch.setattr(local_tree, "open_regular", smaller)
    gone, growing = LocalTree(root).read(["gone.png", "growing.png"])
    assert isinstance(gone, Refusal)
    assert "gone" in gone.reason
    assert isinstance(growing, Refusal)
    assert "changed" in growing.reason


@pytest.mark.parametrize("path", ["", ".", "a", "a/../a/1.png", "/a/1.png", "a\0.png", ".b/1.png"])
def test_tables_cannot_name_anything_else(root: Path, path: str) -> None:
    put(root / "a/1.png")
    put(root / ".b/1.png")
    (found,) = LocalTree(root).stat([path])
    (content,) = LocalTree(root).read([path])
    assert isinstance(found, Refusal)
    assert isinstance(content, Refusal)


def test_a_root_that_is_no_folder_is_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path in (root / "none", put(root / "a.png"), tmp_path / "loop"):
        with pytest.raises(DataError, match=path.name) as caught:
            list(LocalTree(path).walk())
        assert "\n" not in str(caught.value)
    for name in (str(root / "none"), "", "no\0name"):
        with pytest.raises(DataError, match="needed a folder"):
            open_tree(name)


def test_a_copy_in_another_process_reads_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "a.png", b"here")
    monkeypatch.chdir(root.parent)
    copy = pickle.loads(pickle.dumps(LocalTree("root")))
    monkeypatch.chdir("/")
    assert list(copy.read(["a.png"])) == [b"here"]
    assert copy.root == "root"
    assert not copy.sequential


def test_a_folder_and_a_table_are_opened_by_name(root: Path) -> None:
    put(root / "a.png")
    table = put(root / "table.csv", b"path,label\n")
    assert isinstance(open_tree(str(root)), LocalTree)
    assert isinstance(open_tree(f"file://{root}"), LocalTree)
    assert open_file_bytes(str(table), 100) == b"path,label\n"
    assert open_file_bytes(f"file://{table}", 11) == b"path,label\n"
    with pytest.raises(DataError, match="more than 10 bytes"):
        open_file_bytes(str(table), 10)
    with pytest.raises(DataError, match="needed a folder"):
        open_file_bytes(str(root / "none.csv"), 10)


def test_an_empty_folder_is_told(root: Path) -> None:
    put(root / "a/1.png")
    (root / "b/c").mkdir(parents=True)
    told = [one for one in LocalTree(root).walk() if isinstance(one, Refusal)]
    assert [(one.path, one.reason, one.counts) for one in told] == [
        ("b/c", "an empty folder", False)
    ]
