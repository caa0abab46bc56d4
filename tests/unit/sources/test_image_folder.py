import unicodedata

import pytest

from tasks.errors import DataError
from tasks.sources.found import Found
from tasks.sources.image_folder import arrange
from tasks.trees.tree import Refusal
from tests.memory_tree import tree_of


def classes(found: Found) -> dict[str, tuple[str, str]]:
    """Class name and group by path."""
    return {image.path: (image.class_name, image.group) for image in found.images}


def test_the_folder_is_the_class_and_the_folders_above_are_its_group() -> None:
    found = arrange(tree_of("cat/1.jpg", "fruit/apple/1.jpg", "fruit/red/cherry/1.png"))
    assert classes(found) == {
        "cat/1.jpg": ("cat", ""),
        "fruit/apple/1.jpg": ("fruit/apple", "fruit"),
        "fruit/red/cherry/1.png": ("fruit/red/cherry", "fruit/red"),
    }
    assert found.images[0].mark == "mark of cat/1.jpg"
    assert (found.rejected, found.lost, found.notes) == ([], 0, [])


def test_images_are_sorted_by_class_and_path_unless_the_tree_is_sequential() -> None:
    paths = ("b/2.jpg", "a b/1.jpg", "a/9.jpg", "b/1.jpg", "a/10.jpg")
    ordered = [image.path for image in arrange(tree_of(*paths)).images]
    assert ordered == ["a/10.jpg", "a/9.jpg", "a b/1.jpg", "b/1.jpg", "b/2.jpg"]
    packed = arrange(tree_of(*paths, sequential=True))
    assert [image.path for image in packed.images] == list(paths)


def test_a_folder_around_everything_is_passed_through_and_told() -> None:
    found = arrange(tree_of("my photos/cat/1.jpg", "my photos/dog/1.jpg"))
    assert [image.class_name for image in found.images] == ["cat", "dog"]
    assert found.notes == ["everything stands in my photos, which is passed through"]
    single = arrange(tree_of("a/b/cat/1.jpg"))
    assert [(one.class_name, one.group) for one in single.images] == [("cat", "")]
    assert [one.class_name for one in arrange(tree_of("cat/1.jpg")).images] == ["cat"]


def test_folders_that_split_the_images_of_the_same_classes_are_merged_and_told() -> None:
    found = arrange(
        tree_of(
            "data/Train/cat/1.jpg",
            "data/Train/pets/dog/1.jpg",
            "data/val/cat/2.jpg",
            "data/testing/pets/dog/3.jpg",
            "data/testing/owl/1.jpg",
        )
    )
    assert classes(found) == {
        "data/Train/cat/1.jpg": ("cat", ""),
        "data/val/cat/2.jpg": ("cat", ""),
        "data/Train/pets/dog/1.jpg": ("pets/dog", "pets"),
        "data/testing/pets/dog/3.jpg": ("pets/dog", "pets"),
        "data/testing/owl/1.jpg": ("owl", ""),
    }
    assert found.notes[1].startswith("Train, testing, val hold images of the same classes, which ")


def test_folders_that_split_classes_stay_groups() -> None:
    found = arrange(tree_of("train/cat/1.jpg", "test/dog/1.jpg"))
    assert {image.group for image in found.images} == {"train", "test"}


def test_a_class_may_be_called_train() -> None:
    found = arrange(tree_of("bus/1.jpg", "train/1.jpg"))
    assert [image.class_name for image in found.images] == ["bus", "train"]


def test_a_test_folder_without_labels_is_left_out_and_is_no_loss() -> None:
    found = arrange(tree_of("train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg", "test/2.jpg"))
    assert [image.class_name for image in found.images] == ["cat", "dog"]
    assert [one.path for one in found.rejected] == ["test/1.jpg", "test/2.jpg"]
    assert found.lost == 0


def test_images_in_the_root_are_rejected_and_lost() -> None:
    found = arrange(tree_of("stray.jpg", "cat/1.jpg"))
    assert [(one.class_name, one.path, one.reason) for one in found.rejected] == [
        ("", "stray.jpg", "stands in no class folder")
    ]
    assert found.lost == 1


def test_images_beside_folders_with_images_are_told_with_the_first_ten_folders() -> None:
    paths = [f"g{n:02}/{path}" for n in range(12) for path in ("1.jpg", "inner/deep/1.jpg")]
    with pytest.raises(DataError) as caught:
        arrange(tree_of(*paths))
    text = str(caught.value)
    assert "in 12 folders: g00, g01," in text and "g09 and 2 more" in text
    assert "move those images into a folder of their own" in text


def test_without_an_image_it_is_told_what_was_found() -> None:
    text = Refusal("notes.txt", "suffix .txt is not an image's", counts=False)
    with pytest.raises(DataError, match="memory: found no file at all; needed a folder for each"):
        arrange(tree_of())
    with pytest.raises(DataError, match="found 2 files, none with an image's suffix; needed"):
        arrange(tree_of(refused=[text, text]))
    with pytest.raises(DataError, match="found 2 images, all directly in it; needed a folder"):
        arrange(tree_of("1.jpg", "2.jpg"))
    empty = Refusal("cat/1.jpg", "empty file, needed an image")
    with pytest.raises(DataError, match="none that can be used, the first cat/1.jpg: empty file"):
        arrange(tree_of(refused=[empty]))


def test_what_the_tree_refuses_is_rejected_in_its_class_and_counted_if_it_is_an_image() -> None:
    refused = [
        Refusal("all/cat/2.jpg", "empty file"),
        Refusal("all/cat/notes.txt", "no image", counts=False),
        Refusal("all/locked", "a folder that cannot be read"),
    ]
    found = arrange(tree_of("all/cat/1.jpg", "all/dog/1.jpg", refused=refused))
    assert [(one.class_name, one.path) for one in found.rejected] == [
        ("cat", "all/cat/2.jpg"),
        ("cat", "all/cat/notes.txt"),
        ("all", "all/locked"),
    ]
    assert found.lost == 2


def test_hostile_names_become_printable_and_stay_apart() -> None:
    raw = b"caf\xe9".decode("utf-8", "surrogateescape")
    spelt = "caf\\xe9"
    names = [raw, spelt, "new\nline", 'quo"te', "<b>bold</b>", "x" * 255, " ", "ü"]
    found = arrange(tree_of(*(f"{name}/1.jpg" for name in names)))
    by_path = {path: name for path, (name, _) in classes(found).items()}
    assert by_path[f"{spelt}/1.jpg"] == spelt
    assert by_path[f"{raw}/1.jpg"] == "caf\\xe9 (2)"
    assert len(set(by_path.values())) == len(names)
    for image in found.images:
        image.class_name.encode()
    groups = arrange(tree_of(f"{raw}/a/1.jpg", f"{spelt}/a/1.jpg"))
    assert sorted(image.group for image in groups.images) == [spelt, "caf\\xe9 (2)"]
    assert len({image.class_name for image in groups.images}) == 2


def test_a_message_has_one_line_whatever_the_names() -> None:
    raw = b"\xff".decode("utf-8", "surrogateescape")
    with pytest.raises(DataError) as caught:
        arrange(tree_of(f"a\n\x1b[31m{raw}/1.jpg", f"a\n\x1b[31m{raw}/b/1.jpg"))
    assert str(caught.value).isprintable()
    assert "a\\n\\x1b[31m\\xff" in str(caught.value)


def test_classes_that_look_alike_are_kept_apart_and_the_first_ten_pairs_told() -> None:
    composed = "Müsli"
    decomposed = unicodedata.normalize("NFD", composed)
    found = arrange(tree_of("Cat/1.jpg", "cat/1.jpg", f"{composed}/1.jpg", f"{decomposed}/1.jpg"))
    assert len({image.class_name for image in found.images}) == 4
    assert "Cat and cat" in found.notes[0]
    assert f"{decomposed} and {composed}" in found.notes[0]
    many = arrange(tree_of(*(f"{letter}{n}/1.jpg" for letter in "aA" for n in range(12))))
    assert many.notes[0].endswith("and 2 more")


@pytest.mark.timeout(60)  # a step for each two of them takes hours
def test_a_hundred_thousand_images_are_arranged() -> None:
    tree = tree_of(*(f"g{n % 7}/class{n % 1000}/{n}.jpg" for n in range(100_000)))
    assert len(arrange(tree).images) == 100_000
