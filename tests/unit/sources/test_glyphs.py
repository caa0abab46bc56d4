import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tasks.errors import DataError
from tasks.sources import digits, glyphs, typefaces


@pytest.fixture(scope="module")
def letters() -> dict[int, typefaces.Letter]:
    return {one.codepoint: one for one in typefaces.letters(typefaces.folder(), 4)}


def test_sixteen_text_fonts_are_used_and_all_are_there() -> None:
    assert len(typefaces.FILES) == 16
    assert all((typefaces.folder() / file).is_file() for file in typefaces.FILES)


def test_letters_are_plain_and_drawn_by_enough_typefaces(
    letters: dict[int, typefaces.Letter],
) -> None:
    assert ord("a") in letters and ord("Ж") in letters
    assert ord("é") not in letters  # an e with an accent
    assert ord("7") not in letters  # no letter
    assert all(len(one.typefaces) >= 4 for one in letters.values())
    assert letters[ord("Ա")].script == "ARMENIAN"


def test_a_sample_depends_on_seed_letter_and_number_alone(
    letters: dict[int, typefaces.Letter],
) -> None:
    folder = typefaces.folder()
    few = glyphs.render(letters[ord("g")], folder, 1, 3)
    many = glyphs.render(letters[ord("g")], folder, 1, 8)
    assert np.array_equal(few, many[:3])
    assert not np.array_equal(few, glyphs.render(letters[ord("g")], folder, 2, 3))
    assert len(np.unique(many.reshape(8, -1), axis=0)) == 8


def test_ink_is_dark_on_light_paper_and_never_cut(letters: dict[int, typefaces.Letter]) -> None:
    wide = max(letters.values(), key=lambda one: len(one.name))
    for letter in (letters[ord("W")], letters[ord("ا")], wide):
        images = glyphs.render(letter, typefaces.folder(), 1, 16)
        assert images.dtype == np.uint8
        assert (images.reshape(16, -1).min(axis=1) < 64).all()
        border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
        assert (border == glyphs.PAPER).all()


def test_no_two_kept_letters_look_alike_and_the_first_one_stays() -> None:
    looks = np.array([[1, 0, 0], [0, 1, 0], [1, 0.05, 0], [0, 0, 0], [0.7, 0.7, 0]], np.float32)
    assert glyphs.distinct(looks, 0.93).tolist() == [0, 1, 4]
    assert glyphs.distinct(looks[1:], 0.93, beside=looks[:1]).tolist() == [0, 3]


def test_a_missing_font_is_named(tmp_path: Path) -> None:
    for file in typefaces.FILES[1:]:
        shutil.copy(typefaces.folder() / file, tmp_path)
    with pytest.raises(DataError, match=rf"{typefaces.FILES[0]}.*not found.*reinstall matplotlib"):
        typefaces.letters(tmp_path, 4)


def test_a_damaged_font_is_named(tmp_path: Path) -> None:
    for file in typefaces.FILES:
        (tmp_path / file).write_bytes(b"no font")
    with pytest.raises(DataError, match=typefaces.FILES[0]):
        typefaces.letters(tmp_path, 4)
    with pytest.raises(DataError, match=typefaces.FILES[3]):
        typefaces.load(tmp_path / typefaces.FILES[3], 20)


def test_the_digits_are_all_there_as_scikit_learn_ships_them() -> None:
    images, labels = digits.load()
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8
    assert np.array_equal(labels, load_digits().target)
    assert images.max() == 255 and images.min() == 0
