import hashlib
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from tasks.artifacts.image_files import decode_image
from tasks.errors import DataError
from tasks.sources import torchvision_named
from tasks.sources.torchvision_named import NamedTree, arrange
from tasks.sources.torchvision_parts import Part, _accepts, facts
from tasks.trees.tree import Leaf, Refusal

NAMES = ["apple", "trout", "lawn_mower"]
PIXELS = np.random.default_rng(1).integers(0, 256, (9, 3, 32, 32), np.uint8)


def cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-100 in torchvision's own format: six images to train, three to test."""
    folder = root / datasets.CIFAR100.base_folder
    folder.mkdir(parents=True)
    sums = {}
    for file, content in {
        "train": {"data": PIXELS[:6].reshape(6, -1), "fine_labels": [0, 1, 2] * 2},
        "test": {"data": PIXELS[6:].reshape(3, -1), "fine_labels": [2, 1, 0]},
        "meta": {"fine_label_names": NAMES},
    }.items():
        packed = pickle.dumps(content)
        (folder / file).write_bytes(packed)
        sums[file] = hashlib.md5(packed).hexdigest()
    kind = datasets.CIFAR100
    monkeypatch.setattr(kind, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums["meta"]})


def eurosat(root: Path) -> Path:
    folder = root / "eurosat" / "2750"
    for name, grey in (("Forest", 10), ("River", 200)):
        (folder / name).mkdir(parents=True)
        for number in (1, 2):
            Image.new("L", (4, 3), grey + number).save(folder / name / f"{name}_{number}.png")
    return folder


def mnist(root: Path) -> None:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, labels in (("train", [7, 0, 7]), ("t10k", [1])):
        images = np.full((len(labels), 28, 28), 99, np.uint8)
        header = struct.pack(">iiii", 0x803, len(labels), 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">ii", 0x801, len(labels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(labels))


def pixels(content: bytes | Refusal) -> np.ndarray:
    assert isinstance(content, bytes)
    return np.asarray(decode_image(content, 10_000))


class Stub:
    """A dataset of grey images that keeps its labels as told."""

    def __init__(self, labels: Sequence[Any], /, **attributes: Any) -> None:
        self._truth = labels
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self._truth)

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]:
        return Image.new("L", (2, 2), index), self._truth[index]


def named(monkeypatch: pytest.MonkeyPatch, *parts: Part) -> NamedTree:
    monkeypatch.setattr(torchvision_named, "open_parts", lambda *_, **__: list(parts))
    return NamedTree("Stub", "/nowhere", download=False)


def test_train_and_test_are_merged_and_superclasses_are_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar100(tmp_path, monkeypatch)
    found = arrange(NamedTree("CIFAR100", str(tmp_path), download=False))
    assert [(one.path, one.class_name, one.group) for one in found.images[:3]] == [
        ("trout/test-000001.ppm", "fish/trout", "fish"),
        ("trout/train-000001.ppm", "fish/trout", "fish"),
        ("trout/train-000004.ppm", "fish/trout", "fish"),
    ]
    assert {one.class_name for one in found.images} == {
        "fish/trout",
        "fruit_and_vegetables/apple",
        "vehicles_2/lawn_mower",
    }
    assert (len(found.images), found.rejected, found.lost, found.notes) == (9, [], 0, [])
    assert len({one.mark for one in found.images}) == 9
    content = next(found.tree.read(["apple/train-000003.ppm"]))
    assert np.array_equal(pixels(content), PIXELS[3].transpose(1, 2, 0))


def test_a_copy_in_another_process_opens_the_dataset_itself_and_never_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar100(tmp_path, monkeypatch)
    tree = NamedTree("CIFAR100", str(tmp_path), download=True)
    paths = [one.path for one in tree.walk()]
    packed = pickle.dumps(tree)
    assert len(packed) < 1000
    copy = pickle.loads(packed)
    assert list(copy.read(paths)) == list(tree.read(paths))
    assert list(copy.stat(paths[:2])) == list(tree.walk())[:2]
    assert isinstance(next(copy.stat(["apple/train-9.ppm"])), Refusal)
    assert copy._download is False


def test_several_threads_may_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar100(tmp_path, monkeypatch)
    tree = NamedTree("CIFAR100", str(tmp_path), download=False)
    with ThreadPoolExecutor(8) as pool:
        read: Callable[[str], bytes | Refusal] = lambda path: next(tree.read([path]))  # noqa: E731
        contents = list(pool.map(read, ["apple/train-000000.ppm"] * 16))
    assert len(set(contents)) == 1


def test_marks_change_with_the_files_and_tell_datasets_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar100(tmp_path, monkeypatch)

    def mark(dataset: str) -> str:
        one = next(iter(NamedTree(dataset, str(tmp_path), download=False).walk()))
        assert isinstance(one, Leaf)
        return one.mark

    first = mark("CIFAR100")
    assert mark("CIFAR100") == first
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    elsewhere = tmp_path.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere, target_is_directory=True)
    assert mark("CIFAR100") == first
    (elsewhere / "back").symlink_to(elsewhere)
    (elsewhere / "more").touch()
    assert mark("CIFAR100") != first, "a change behind a link is seen"
    eurosat(tmp_path)
    assert len({first, mark("CIFAR100"), mark("EuroSAT")}) == 3


def test_a_dataset_without_splits_is_one_part_and_a_damaged_image_is_refused(
    tmp_path: Path,
) -> None:
    folder = eurosat(tmp_path)
    (folder / "River" / "River_2.png").write_bytes(b"no image")
    tree = NamedTree("EuroSAT", str(tmp_path), download=False)
    found = arrange(tree)
    assert [one.path for one in found.images] == [
        "Forest/all-000000.ppm",
        "Forest/all-000001.ppm",
        "River/all-000002.ppm",
        "River/all-000003.ppm",
    ]
    first, *_, last = tree.read([one.path for one in found.images])
    assert (pixels(first) == 11).all() and pixels(first).shape == (3, 4, 3)
    assert isinstance(last, Refusal) and last.reason.startswith("cannot be read from EuroSAT: ")
    gone = list(tree.read(["River/all-000099.ppm", "River/other-000001.ppm", "nonsense"]))
    assert all(isinstance(one, Refusal) for one in gone)


def test_grey_images_become_rgb_and_names_of_digits_are_kept(tmp_path: Path) -> None:
    mnist(tmp_path)
    tree = NamedTree("MNIST", str(tmp_path), download=False)
    found = arrange(tree)
    assert [(one.class_name, one.path) for one in found.images] == [
        ("0 - zero", "0 - zero/train-000001.ppm"),
        ("1 - one", "1 - one/test-000000.ppm"),
        ("7 - seven", "7 - seven/train-000000.ppm"),
        ("7 - seven", "7 - seven/train-000002.ppm"),
    ]
    assert (pixels(next(tree.read([found.images[0].path]))) == 99).all()


def test_names_with_slashes_or_twice_the_same_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = [("crane", "bird"), "F/A-18", "F_A-18", ("crane", "bird"), "new\nline"]
    data = Stub([0, 1, 2, 3, 4, 5], classes=classes, targets=[0, 1, 2, 3, 4, 5])
    found = arrange(named(monkeypatch, Part("all", data)))
    assert {one.class_name: one.path.partition("/")[0] for one in found.images} == {
        "5": "5",
        "F/A-18": "F_A-18",
        "F_A-18": "F_A-18 (2)",
        "crane, bird": "crane, bird",
        "crane, bird (2)": "crane, bird (2)",
        "new\nline": "new\nline",
    }


def test_images_without_a_label_are_told_and_are_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Part("train", Stub([1, 0])), Part("test", Stub([None, -1, 1]))]
    found = arrange(named(monkeypatch, *parts))
    assert [one.path for one in found.rejected] == ["test-000000.ppm", "test-000001.ppm"]
    assert (len(found.images), found.lost) == (3, 0)
    with pytest.raises(DataError, match="Stub holds no image with a label"):
        arrange(named(monkeypatch, Part("test", Stub([None]))))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"targets": np.array([3, 1, 2])},
        {"labels": [3, 1, 2]},
        {"_labels": (3, 1, 2)},
        {"_samples": [("a", 3), ("b", 1), ("c", 2)]},
        {"index": [(3, "a"), (1, "b"), (2, "c")]},
        {"targets": [1, 2], "labels": [9, 9, 9], "y": None, "samples": [1, 2, 3]},
        {"targets": np.array([[3, 0], [1, 0], [2, 0]])},
    ],
)
def test_labels_are_those_of_the_items_wherever_they_are_kept(attributes: dict[str, Any]) -> None:
    assert Part("all", Stub([3, 1, 2], **attributes)).labels() == [3, 1, 2]


def test_names_may_stand_in_class_to_idx() -> None:
    part = Part("all", Stub([1], class_to_idx={"Aaron": 0, "Berta": 1}))
    assert part.names([1, 2, None]) == {0: "Aaron", 1: "Berta", 2: "2"}


def test_classes_of_the_same_name_are_told_apart_alike_in_every_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = [Part("train", Stub([0, 1], classes=["crane", "crane"]))]
    parts.append(Part("val", Stub([1], classes=["crane", "crane"])))
    found = arrange(named(monkeypatch, *parts))
    assert [(one.class_name, one.path) for one in found.images] == [
        ("crane", "crane/train-000000.ppm"),
        ("crane (2)", "crane (2)/train-000001.ppm"),
        ("crane (2)", "crane (2)/val-000000.ppm"),
    ]


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (
            "cifar-100",
            "torchvision has no dataset cifar-100; did you mean CIFAR100 or CIFAR10? nee",
        ),
        ("no\nsuch", r"torchvision has no dataset no\nsuch; needed one of CIFAR10, CIFAR100, CLEV"),
        ("Kinetics", "Kinetics is not for classifying images; needed one of CIFAR10, CIFAR100,"),
        ("VisionDataset", "VisionDataset is not for classifying images; needed one of"),
        ("ImageFolder", "ImageFolder is read by prepare.source=image_folder; here needed one of"),
        ("Omniglot", "Omniglot is read by prepare.source=omniglot; here needed one of"),
        ("__all__", "torchvision has no dataset __all__; needed one of"),
    ],
)
def test_a_name_that_cannot_be_meant_is_told(dataset: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        arrange(NamedTree(dataset, "/nowhere", download=False))
    assert str(caught.value).startswith(f"prepare.torchvision.dataset: {told}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("dataset", facts()["datasets"])
def test_every_dataset_exists_takes_its_arguments_and_is_told_when_it_is_missing(
    dataset: str, tmp_path: Path
) -> None:
    kind = getattr(datasets, dataset)
    arguments = facts()["datasets"][dataset]
    for values in product(*arguments.values()):
        assert all(_accepts(kind, argument) for argument in arguments)
        chosen = dict(zip(arguments, values, strict=True))
        chosen |= {"download": False} if _accepts(kind, "download") else {}
        with pytest.raises(Exception, match="(?i)not found|not present|does not exist|no such"):
            kind(str(tmp_path), **chosen)
    with pytest.raises(DataError) as caught:
        arrange(NamedTree(dataset, str(tmp_path), download=False))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}: no {dataset} (") and text.isprintable()
    fetched = "put it there, or let torchvision download it: prepare.torchvision.download=true"
    alone = "torchvision cannot download it: put it there"
    assert text.endswith(alone if dataset in ("FER2013", "ImageNet") else fetched)


def test_an_address_is_no_folder_and_is_not_shown() -> None:
    with pytest.raises(DataError, match=r"^prepare.root: found an address; torchvision needs a fo"):
        arrange(NamedTree("MNIST", "s3://user:secret@bucket", download=False))


def test_without_a_network_a_download_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.CIFAR100, "url", "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(DataError) as caught:
        arrange(NamedTree("CIFAR100", str(tmp_path), download=True))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}: no CIFAR100, and downloading it failed (")
    assert text.endswith("put it there, or run where there is a network") and text.isprintable()


def test_what_is_not_there_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "server"
    cifar100(server, monkeypatch)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(server / "cifar-100-python", "cifar-100-python")
    (server / "cifar.tar.gz").write_bytes(packed.getvalue())
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(datasets.CIFAR100, "tgz_md5", hashlib.md5(packed.getvalue()).hexdigest())
    handler = partial(SimpleHTTPRequestHandler, directory=str(server))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        address = f"http://127.0.0.1:{http.server_port}/cifar.tar.gz"
        monkeypatch.setattr(datasets.CIFAR100, "url", address)
        thread = threading.Thread(target=http.serve_forever, args=[0.05])
        thread.start()
        first = arrange(NamedTree("CIFAR100", str(tmp_path / "data"), download=True))
        http.shutdown()
        thread.join()
    again = arrange(NamedTree("CIFAR100", str(tmp_path / "data"), download=True))
    assert again.images == first.images and len(first.images) == 9


def test_cifar100_has_twenty_superclasses_of_five() -> None:
    groups = facts()["groups"]["CIFAR100"]
    assert len(groups) == 20 and {len(names) for names in groups.values()} == {5}
    assert len({name for names in groups.values() for name in names}) == 100
