import io
import pickle
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets import FakeData

from tasks.artifacts.image_files import decode_image
from tasks.errors import DataError
from tasks.params_file import load_params
from tasks.sources.find import find_images
from tasks.sources.found import Found
from tasks.trees.tree import Tree
from tests.conftest import ROOT


def find(source: str, root: Path | str = "", **chosen: Any) -> Found:
    settings: dict[str, Any] = {
        "rotated_classes": False,
        "dataset": "CIFAR100",
        "download": False,
        "fake_classes": 4,
        "fake_images": 30,
        "fake_image_size_px": 8,
    }
    return find_images(source, str(root), **settings | chosen)


def photographs(root: Path) -> Path:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(root / name / f"{number}.png")
    return root


def read(tree: Tree, path: str) -> np.ndarray:
    content = next(iter(tree.read([path])))
    assert isinstance(content, bytes)
    return np.asarray(decode_image(content, 10_000))


def test_the_settings_of_prepare_are_those_that_finding_takes() -> None:
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(DataError, match="prepare.source: glyphs does not look for images"):
        find_images(**params.prepare.finding())


def test_an_image_folder_may_be_a_folder_an_archive_or_a_table(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos")
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", folder)
    packed = shutil.make_archive(str(tmp_path / "photos"), "gztar", folder)
    names = [f"{name}/{n}.png" for name in ("cat", "dog") for n in range(3)]
    rows = [f"photos/{name},{name[:3]}" for name in names]
    (tmp_path / "table.CSV").write_text("\n".join(["path,label", *rows]))
    columns = {"path": [*names], "label": [name[:3] for name in names]}
    pq.write_table(pa.table(columns), folder / "table.parquet")
    for source, root in (
        ("image_folder", folder),
        ("image_folder", archive),
        ("image_folder", packed),
        ("image_folder", tmp_path / "table.CSV"),
        ("image_folder", folder / "table.parquet"),
        ("archive", archive),
        ("archive", packed),
    ):
        found = find(source, root)
        assert [image.class_name for image in found.images] == ["cat"] * 3 + ["dog"] * 3
        assert read(found.tree, found.images[4].path)[0, 0].tolist() == [1, 0, 0]


def test_a_table_may_be_named_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photographs(tmp_path))
    Path("table.tsv").write_text("path\tlabel\ncat/0.png\tx\n")
    assert [image.path for image in find("image_folder", "table.tsv").images] == ["cat/0.png"]


def test_an_archive_must_be_one(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos")
    with pytest.raises(DataError, match="prepare.root is a folder; needed source image_folder"):
        find("archive", folder)
    with pytest.raises(DataError, match="prepare.root is a table; needed source image_folder"):
        find("archive", tmp_path / "t.parquet")
    (tmp_path / "photos.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"photos\.zip: "):
        find("archive", tmp_path / "photos.zip")


@pytest.mark.parametrize("name", ["gone", "gone.csv", "gone.zip"])
def test_a_root_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: cannot be read: No such file"):
        find("image_folder", tmp_path / name)


def test_an_archive_of_a_folder_is_read_through_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in ("photos/cat/1.png", "photos/dog/1.png", "__MACOSX/photos/cat/._1.png"):
            archive.writestr(path, b"x")
    found = find("archive", tmp_path / "a.zip")
    assert [image.class_name for image in found.images] == ["cat", "dog"]
    assert found.notes == ["everything stands in photos, which is passed through"]


def test_omniglot_and_torchvision_are_found_by_their_settings(tmp_path: Path) -> None:
    for half, place in (("background", "Greek"), ("evaluation", "Tengwar")):
        folder = tmp_path / "omniglot" / f"images_{half}" / place / "character01"
        folder.mkdir(parents=True)
        Image.new("1", (3, 3)).save(folder / "1.png")
    assert len(find("omniglot", tmp_path / "omniglot").images) == 2
    assert len(find("omniglot", tmp_path / "omniglot", rotated_classes=True).images) == 8
    photographs(tmp_path / "eurosat" / "2750")
    assert len(find("torchvision", tmp_path, dataset="EuroSAT").images) == 6
    with pytest.raises(DataError, match="no MNIST .*prepare.torchvision.download=true"):
        find("torchvision", tmp_path, dataset="MNIST")


def test_fake_images_are_those_of_torchvision_whoever_reads_them() -> None:
    found = find("fake", fake_images=40, fake_classes=11)
    noise = FakeData(40, (3, 8, 8), 11)
    copy = pickle.loads(pickle.dumps(found.tree))
    paths = [image.path for image in found.images]
    assert len(paths) == 40 and paths == sorted(paths)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: next(copy.read([path])), paths))
    for image, content in zip(found.images, together, strict=True):
        expected, label = noise[int(image.path[-10:-4])]
        assert image.class_name == f"class {label:02}" == image.path.partition("/")[0]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), np.asarray(expected))
    leaves = {leaf.path: leaf for leaf in found.tree.walk()}
    assert list(found.tree.stat(paths)) == [leaves[path] for path in paths]
    assert leaves[paths[0]].size_bytes == len(together[0])  # type: ignore[union-attr]


def test_marks_of_fake_images_change_with_their_sizes() -> None:
    marks = {
        find("fake", **chosen).images[0].mark
        for chosen in ({}, {"fake_classes": 5}, {"fake_image_size_px": 9})
    }
    assert len(marks) == 3


def test_a_tilde_is_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    photographs(tmp_path / "photos")
    archive = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos"))
    assert len(find("image_folder", "~/photos").images) == 6
    assert len(find("archive", f"~/{archive.name}").images) == 6
    with pytest.raises(DataError, match="~nobody-of-this-name/photos: cannot be read"):
        find("image_folder", "~nobody-of-this-name/photos")
