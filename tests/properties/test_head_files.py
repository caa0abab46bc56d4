"""Whatever bytes a head file has: it is read as what it says, or refused in one line."""

import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.fewshot import FewShotClassifier, FewShotError
from tests.conftest import GOLDEN_BUNDLE

# A model takes some hundredths of a second to load.
few = settings(deadline=None, max_examples=40)
names = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip),
    min_size=1,
    max_size=6,
    unique=True,
)


@cache
def whole_file() -> bytes:
    """A sound head of two classes."""
    model = FewShotClassifier(GOLDEN_BUNDLE)
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8)
    model.enroll_all({"a": images[:2], "b": images[2]})
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / "head.npz")
        return (Path(folder) / "head.npz").read_bytes()


def loaded(content: bytes) -> FewShotClassifier | None:
    """The model of a file with this content; None where it is refused in one line."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "head.npz"
        path.write_bytes(content)
        try:
            return FewShotClassifier.load(GOLDEN_BUNDLE, path)
        except FewShotError as fault:
            assert "\n" not in str(fault) and len(str(fault)) < 2000
            return None


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    assert loaded(content) is None


@few
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4))
def test_a_damaged_file_is_refused_or_says_the_same(places: list[tuple[float, int]]) -> None:
    content = bytearray(whole_file())
    for place, change in places:
        content[int(place * len(content))] ^= change
    found = loaded(bytes(content))
    if found is not None:  # what was damaged is neither an array nor where it stands
        assert found.classes == {"a": 2, "b": 1}


@few
@example("", "\n")
@given(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_any_value_in_any_place_of_the_meta_is_read_or_refused(key: str, value: object) -> None:
    with np.load(io.BytesIO(whole_file())) as arrays:
        content = dict(arrays)
    meta = json.loads(content["meta"].tobytes())
    for name in (*meta, key):
        changed = json.dumps({**meta, name: value}).encode()
        file = io.BytesIO()
        np.savez(file, **{**content, "meta": np.frombuffer(changed, np.uint8)})
        found = loaded(file.getvalue())
        assert found is None or sum(found.classes.values()) == 3


@few
@given(names, st.lists(st.integers(0, 5), max_size=12), st.floats(-1, 1))
def test_what_is_enrolled_survives_the_file(
    classes: list[str], kinds: list[int], threshold: float
) -> None:
    model = FewShotClassifier(GOLDEN_BUNDLE, threshold=threshold)
    rng = np.random.default_rng(len(kinds))
    for kind in kinds:
        model.enroll(classes[kind % len(classes)], rng.integers(0, 256, (9, 9, 3), np.uint8))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "head.npz"
        model.save(path)
        again = FewShotClassifier.load(GOLDEN_BUNDLE, path)
    assert list(again.classes.items()) == list(model.classes.items())
    assert again.threshold == model.threshold == threshold
    if kinds:
        query = rng.integers(0, 256, (9, 9, 3), np.uint8)
        one, other = model.predict(query), again.predict(query)
        assert one == other and (one.score, one.unknown) == (other.score, other.unknown)
