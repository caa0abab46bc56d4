import hashlib
import io
import pickle
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import Omniglot

from tasks.errors import DataError
from tasks.sources.found import Found
from tasks.sources.omniglot import arrange, find
from tasks.trees.tree import Refusal
from tests.memory_tree import MemoryTree, tree_of

BACKGROUND = ("Greek/character01", "Greek/character02", "Hebrew/character01")
EVALUATION = ("Tengwar/character01", "Tengwar/character02")
HALVES = {"images_background": BACKGROUND, "images_evaluation": EVALUATION}


def paths(*halves: str, above: str = "") -> list[str]:
    return [
        f"{above}{half}/{character}/{n:04}_01.png"
        for half in halves or HALVES
        for character in HALVES[half]
        for n in (1, 2)
    ]


def found_in(*paths: str, rotated_classes: bool = False, **kwargs: bool) -> Found:
    tree = tree_of(*paths, **kwargs)  # type: ignore[arg-type]
    return arrange(tree, tree.walk(), rotated_classes=rotated_classes)


def zipped(half: str) -> bytes:
    drawing = io.BytesIO()
    Image.new("1", (5, 5), 1).save(drawing, "PNG")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in paths(half):
            archive.writestr(path, drawing.getvalue())
    return file.getvalue()


@pytest.mark.parametrize("above", ["", "omniglot-py/", "my images_background/omniglot-py/"])
def test_characters_are_classes_alphabets_groups_and_the_evaluation_half_is_novel(
    above: str,
) -> None:
    found = found_in(*paths(above=above))
    assert [(one.class_name, one.group, one.split) for one in found.images[::2]] == [
        ("Greek/character01", "Greek", None),
        ("Greek/character02", "Greek", None),
        ("Hebrew/character01", "Hebrew", None),
        ("Tengwar/character01", "Tengwar", "novel"),
        ("Tengwar/character02", "Tengwar", "novel"),
    ]
    assert (found.rejected, found.lost, found.notes) == ([], 0, [])


@pytest.mark.parametrize("half", HALVES)
def test_of_one_half_alone_nothing_is_novel_by_itself(half: str) -> None:
    found = found_in(*paths(half))
    assert {image.split for image in found.images} == {None}
    assert found.notes == [f"only {half} is there: no class is novel by it"]


def test_turned_characters_are_three_more_classes_of_the_same_alphabet_and_split() -> None:
    upright = found_in(*paths()).images
    turned = found_in(*paths(), rotated_classes=True).images
    assert len(turned) == 4 * len(upright)
    assert [image for image in turned if not image.turned_deg] == list(upright)
    one = next(image for image in turned if image.turned_deg == 270)
    assert one.class_name == "Greek/character01 turned 270"
    assert (one.group, one.path) == ("Greek", "images_background/Greek/character01/0001_01.png")
    assert all(image.split == "novel" for image in turned if image.group == "Tengwar")
    assert turned == sorted(turned, key=lambda image: (image.class_name, image.path))


def test_a_character_may_not_be_called_like_a_turned_one() -> None:
    taken = "images_background/Greek/character01 turned 90/1.png"
    with pytest.raises(DataError, match="found Greek/character01 turned 90; needed another name"):
        found_in(*paths(), taken, rotated_classes=True)


def test_what_stands_elsewhere_is_told_and_is_no_loss() -> None:
    refused = [Refusal("images_background/Greek/character01/0003_01.png", "empty file")]
    elsewhere = [
        "images_background_small1/Greek/character01/1.png",
        "images_background/Greek/1.png",
    ]
    tree = MemoryTree(tree_of(*paths(), *elsewhere).files, refused)
    found = arrange(tree, tree.walk(), rotated_classes=False)
    assert len(found.images) == 10
    assert [one.path for one in found.rejected] == [*elsewhere, refused[0].path]
    assert found.lost == 1


def test_faults_of_the_layout_are_told() -> None:
    with pytest.raises(DataError, match="memory: found no drawing among 1 files; needed images_ba"):
        found_in("cat/1.png")
    with pytest.raises(DataError, match="found images_background in 2 places: ., copy; needed one"):
        found_in(*paths(), *paths(above="copy/"))
    with pytest.raises(DataError, match="alphabets in both halves: Greek; needed each in one of"):
        found_in(*paths(), "images_evaluation/Greek/character09/1.png")


def test_hostile_names_become_printable() -> None:
    raw = b"Gr\xfcek\n".decode("utf-8", "surrogateescape")
    found = found_in(f"images_background/{raw}/character01/1.png", *paths("images_evaluation"))
    assert found.images[0].group == "Gr\\xfcek\n"
    assert found.images[0].class_name == "Gr\\xfcek\n/character01"


def test_a_packed_tar_keeps_its_order() -> None:
    mixed = paths()[::-1]
    assert [one.path for one in found_in(*mixed, sequential=True).images] == mixed
    turned = found_in(*mixed, sequential=True, rotated_classes=True).images
    assert [one.path for one in turned] == [path for path in mixed for _ in range(4)]
    assert [one.turned_deg for one in turned[:4]] == [0, 90, 180, 270]


def test_the_original_zip_files_are_read_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "omniglot-py").mkdir()
    for half in HALVES:
        (tmp_path / "omniglot-py" / f"{half}.zip").write_bytes(zipped(half))
    found = find(str(tmp_path), rotated_classes=False)
    assert len(found.images) == 10
    assert {image.split for image in found.images} == {None, "novel"}
    tree = pickle.loads(pickle.dumps(found.tree))
    assert tree.root == str(tmp_path)
    order = [image.path for image in found.images][::-1]
    contents = list(tree.read([*order, order[0][:-5] + "9.png"]))
    assert all(isinstance(one, bytes) and one.startswith(b"\x89PNG") for one in contents[:-1])
    assert contents[-1].path == order[0][:-5] + "9.png"
    assert [one.path for one in tree.stat(order)] == order


def test_one_zip_file_may_be_the_root(tmp_path: Path) -> None:
    (tmp_path / "half.zip").write_bytes(zipped("images_background"))
    assert len(find(str(tmp_path / "half.zip"), rotated_classes=False).images) == 6


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder behind the address that torchvision takes for Omniglot's."""
    folder = tmp_path / "server"
    folder.mkdir()
    for half in HALVES:
        (folder / f"{half}.zip").write_bytes(zipped(half))
    sums = {half: hashlib.md5(zipped(half)).hexdigest() for half in HALVES}
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        address = f"http://127.0.0.1:{http.server_port}"
        monkeypatch.setattr(Omniglot, "download_url_prefix", address)
        monkeypatch.setattr(Omniglot, "zips_md5", sums)
        thread = threading.Thread(target=http.serve_forever, args=[0.05])
        thread.start()
        yield folder
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_is_empty_or_missing_is_filled(
    tmp_path: Path, server: Path, exists: bool
) -> None:
    root = tmp_path / "data" / "omniglot"
    if exists:
        root.mkdir(parents=True)
    found = find(str(root), rotated_classes=False)
    assert len(found.images) == 10
    assert (root / "omniglot-py" / "images_evaluation" / EVALUATION[0]).is_dir()
    for file in server.iterdir():
        file.unlink()
    assert find(str(root), rotated_classes=False).images == found.images


def test_half_a_download_leaves_nothing_behind(tmp_path: Path, server: Path) -> None:
    (server / "images_evaluation.zip").write_bytes(b"another file")
    for _ in range(2):
        with pytest.raises(DataError, match=r"none could be downloaded from http://127.0.0.1:\d+ "):
            find(str(tmp_path / "omniglot"), rotated_classes=False)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["server"]


def test_without_a_network_it_is_told_from_where_and_what_else_can_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Omniglot, "download_url_prefix", "http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        find(str(tmp_path / "omniglot"), rotated_classes=False)
    text = str(caught.value)
    assert "none could be downloaded from http://127.0.0.1:9 (" in text and "refused" in text
    assert "needed images_background and images_evaluation, as folders" in text
    assert text.isprintable()


def test_a_missing_archive_is_no_folder_to_fill(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        find(str(tmp_path / "omniglot.zip"), rotated_classes=False)
    assert not list(tmp_path.iterdir())
