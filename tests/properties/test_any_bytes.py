"""Whatever the bytes of an image, a table or an archive, the answer is theirs or one of our errors.

Over 10,000 cases in all: valid files with bytes changed, cut, repeated or put in, and plain noise.
"""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.prepare.decoding import TileSpec, frame_content
from tasks.sources.find import find_images
from tasks.trees.archive_tree import ArchiveTree
from tasks.trees.tree import Leaf
from tests.hostile import encoded, picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def many(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


SPEC = TileSpec("crop", 16, 3, 1_000_000)


@cache
def images() -> tuple[bytes, ...]:
    found = [encoded(1, form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")]
    found.append(encoded(2, "JPEG", progressive=True))
    found.append(encoded(3, "TIFF", compression="tiff_lzw"))
    for mode, form in (("P", "PNG"), ("LA", "PNG"), ("CMYK", "JPEG"), ("1", "TIFF")):
        file = BytesIO()
        picture(4, mode="RGB" if mode == "LA" else mode).convert(mode).save(file, form)
        found.append(file.getvalue())
    return tuple(found)


@cache
def tables() -> tuple[bytes, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [(f"c{index % 3}/{index}.png", f"label {index % 3}") for index in range(12)]
    plain = "path,label\n" + "".join(f"{path},{label}\n" for path, label in rows)
    quoted = 'path;label;group;split\n"a\nb.png";"x ""y""";g;base\n' + "é.png;ü;g;novel\n" * 5
    file = BytesIO()
    columns = {"path": [path for path, _ in rows], "label": [label for _, label in rows]}
    pq.write_table(pa.table(columns), file)
    return plain.encode(), quoted.encode("utf-8-sig"), file.getvalue()


@cache
def archives() -> tuple[bytes, ...]:
    files = {f"c{index % 3}/{index}.png": encoded(index) for index in range(6)}
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        found.append(file.getvalue())
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        file = BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        found.append(file.getvalue())
    return tuple(found)


def spoilt(samples: Callable[[], tuple[bytes, ...]]) -> st.SearchStrategy[bytes]:
    """A valid file, spoilt in one of many ways, or noise."""

    def spoil(which: int, seed: int, way: int) -> bytes:
        content = bytearray(samples()[which % len(samples())])
        rng = np.random.default_rng(seed)
        start, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
        if way == 0:
            for at in rng.integers(0, len(content), int(rng.integers(1, 12))).tolist():
                content[at] = int(rng.integers(0, 256))
        elif way == 1:
            for at in rng.integers(0, min(120, len(content)), int(rng.integers(1, 4))).tolist():
                content[at] ^= 1 << int(rng.integers(0, 8))
        elif way == 2:
            del content[start:end]
        elif way == 3:
            content[start:start] = content[start:end]
        elif way == 4:
            content[start:end] = rng.bytes(end - start)
        elif way == 5:
            content[start : start + 4] = b"\xff\xff\xff\x7f"
        return bytes(content)

    numbers = st.integers(0, 2**32 - 1)
    return st.one_of(st.binary(max_size=400), *(
        st.builds(spoil, numbers, numbers, st.just(way)) for way in range(6)
    ))  # fmt: skip


@many(6_000)
@given(content=spoilt(images), turned=st.sampled_from([0, 90]))
def test_an_image_is_framed_or_rejected_with_a_reason(content: bytes, turned: int) -> None:
    answer = frame_content(content, turned, SPEC)
    assert len(answer.sha256) == 32
    assert bool(answer.tile.reason) == (len(answer.tile.pixels) != 16 * 16 * 3)
    assert "\n" not in answer.tile.reason


@many(2_500)
@given(content=spoilt(tables), suffix=st.sampled_from([".csv", ".tsv", ".parquet"]))
def test_a_table_gives_images_or_a_data_error(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content)
    (tmp_path / "c0").mkdir(exist_ok=True)
    (tmp_path / "c0/0.png").write_bytes(b"x")
    try:
        found = _find(path)
    except DataError as error:
        assert str(path) in str(error)
        return
    assert all(image.class_name for image in found)


@many(2_500)
@given(content=spoilt(archives))
def test_an_archive_gives_what_is_in_it_or_a_data_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "images.archive"
    path.write_bytes(content)
    try:
        _find(path)
        tree = ArchiveTree(path)
        names = [one.path for one in tree.walk() if isinstance(one, Leaf)]
        for part in tree.read(names):
            assert isinstance(part, bytes) or part.reason
    except DataError as error:
        assert str(path) in str(error)


def _find(path: Path) -> Iterator[object] | list[object]:
    nothing = {"fake_classes": 2, "fake_images": 2, "fake_image_size_px": 2}
    return list(
        find_images(
            "image_folder",
            str(path),
            rotated_classes=False,
            dataset="",
            download=False,
            **nothing,
        ).images
    )
