import numpy as np

from tasks.artifacts.image_store import ImageClass, Part
from tasks.evaluate.leakage import folded, imagenet_names, leakage, shared, weights_of


def part(names: list[str], seed: int, images: int = 4) -> Part:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (len(names) * images, 8, 8, 1), np.uint8)
    classes = tuple(ImageClass(name, "", images) for name in names)
    return Part(pixels, np.repeat(np.arange(len(names)), images), classes)


def test_parts_that_share_nothing_say_so() -> None:
    parts = {
        name: part([f"{name} {one}" for one in range(3)], seed) for seed, name in enumerate("abc")
    }
    assert shared(parts) == []


def test_planted_images_and_names_are_found() -> None:
    parts = {
        "base": part(["Café", "dog"], 0),
        "validation": part(["owl", "bee"], 1),
        "novel": part(["CAFE\u0301", "cat"], 2),
        "digits": part(["1", "cat"], 3),
    }
    parts["novel"].images[[5, 6]] = parts["base"].images[0]
    found = {(one.first, one.second): one for one in shared(parts)}
    assert list(found) == [("base", "novel")]  # domains among themselves train nothing
    both = found["base", "novel"]
    assert (both.images, both.image_classes) == (2, ("cat",))
    assert (both.names, both.class_names) == (1, ("CAFE\u0301",))


def test_names_fold_case_width_and_accents() -> None:
    assert folded("STRASSE") == folded("straße") == folded("ｓｔｒａｓｓｅ")
    assert folded("é") == folded("E\u0301")


def test_classes_that_imagenet_has_are_named() -> None:
    novel = part(["Goldfish", "tiger_shark", "aleph"], 0)
    assert imagenet_names(novel.classes) == ["Goldfish", "tiger_shark"]
    told = leakage(
        {"base": part(["x"], 1), "validation": part(["y"], 2), "novel": novel}, "imagenet"
    )
    assert told["imagenet_class_names"] == {"novel": ["Goldfish", "tiger_shark"]}


def test_weights_of_others_are_known_by_the_description() -> None:
    assert weights_of({"encoder": {"name": "conv4"}}) is None
    assert weights_of({"encoder": {}, "weights": "none"}) is None
    assert weights_of({"encoder": {}, "weights": "IMAGENET1K_V1"}) == "IMAGENET1K_V1"
    assert weights_of({"encoder": {"weights": "imagenet"}}) == "imagenet"
