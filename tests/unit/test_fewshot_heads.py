"""Head files: what was enrolled survives them, and nothing else gets through."""

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.fewshot import FewShotClassifier, FewShotError

Content = dict[str, Any]


def images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(count).integers(0, 256, (count, 20, 30, 3), np.uint8))


@pytest.fixture
def head(golden_bundle: Path, tmp_path: Path) -> Path:
    """Two classes, one of them without images."""
    model = FewShotClassifier(golden_bundle)
    model.enroll_all({"gala apple": images(3), "Ω": images(2), "empty": images(1)})
    model.forget_image("empty")
    model.save(tmp_path / "shop.npz")
    return tmp_path / "shop.npz"


def read(path: Path) -> Content:
    with np.load(path) as arrays:
        return {**arrays, "meta": json.loads(arrays["meta"].tobytes())}


def write(path: Path, content: Content, **more: Any) -> None:
    meta = np.frombuffer(json.dumps(content["meta"]).encode(), np.uint8)
    np.savez(path, **{**content, "meta": meta, **more})


def stored_zip(path: Path, members: dict[str, bytes], compression: int = 0) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_a_head_answers_as_the_model_that_saved_it(
    golden_bundle: Path, head: Path, tmp_path: Path
) -> None:
    model = FewShotClassifier(golden_bundle)
    model.enroll_all({"gala apple": images(3), "Ω": images(2)})
    loaded = FewShotClassifier.load(golden_bundle, head)
    assert loaded.classes == {"gala apple": 3, "Ω": 2, "empty": 0}
    loaded.forget("empty")
    assert loaded.predict(images(4)) == model.predict(images(4))
    loaded.enroll("Ω", images(1))
    assert loaded.classes["Ω"] == 3


def test_the_file_holds_what_the_format_says(golden_bundle: Path, head: Path) -> None:
    content = read(head)
    assert content["labels"].tolist() == [0, 0, 0, 1, 1] and content["labels"].dtype == np.int64
    assert content["embeddings"].shape == (5, 8) and content["embeddings"].dtype == np.float32
    assert content["meta"] == {
        "format": 1,
        "kind": "headstart head",
        "encoder_sha256": json.loads((golden_bundle / "manifest.json").read_text())["files"][
            "encoder.onnx"
        ]["sha256"],
        "embedded_by": "encoder.onnx",
        "embedded_by_sha256": content["meta"]["encoder_sha256"],
        "bundle": "glyphs",
        "classes": ["gala apple", "Ω", "empty"],
        "sources": [""] * 5,
        "threshold": None,
    }


def test_saving_twice_gives_the_same_bytes_and_leaves_no_other_file(
    golden_bundle: Path, head: Path
) -> None:
    before = head.read_bytes()
    FewShotClassifier.load(golden_bundle, head).save(head)
    assert head.read_bytes() == before
    assert [path.name for path in head.parent.iterdir()] == [head.name]


def test_a_save_that_fails_leaves_the_old_file(
    golden_bundle: Path, head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = head.read_bytes()
    model = FewShotClassifier.load(golden_bundle, head)

    def full(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FewShotError, match=r"shop\.npz: cannot be written: No space left"):
        model.save(head)
    assert head.read_bytes() == before and len(list(head.parent.iterdir())) == 1


def test_saving_through_a_link_keeps_the_link_and_the_permissions(
    golden_bundle: Path, head: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.npz").symlink_to(head.name)
    head.chmod(0o640)
    model = FewShotClassifier.load(golden_bundle, tmp_path / "link.npz")
    model.forget("empty")
    model.save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert head.stat().st_mode & 0o777 == 0o640
    assert FewShotClassifier.load(golden_bundle, head).classes == {"gala apple": 3, "Ω": 2}
    (tmp_path / "circle.npz").symlink_to("circle.npz")
    with pytest.raises(FewShotError, match=r"circle\.npz: cannot be written"):
        model.save(tmp_path / "circle.npz")


def test_a_head_that_does_not_say_which_encoder_file_it_was_is_read(
    golden_bundle: Path, head: Path
) -> None:
    content = read(head)
    del content["meta"]["embedded_by_sha256"]
    write(head, content)
    assert FewShotClassifier.load(golden_bundle, head).classes["gala apple"] == 3


@pytest.mark.parametrize("letter", ["x", "\1", "\N{PEAR}"])
def test_what_is_saved_is_read_however_long_the_names_are(
    golden_bundle: Path, tmp_path: Path, letter: str
) -> None:
    model = FewShotClassifier(golden_bundle)
    picture = images(1)[0]
    model.enroll_all({f"{letter * 195}{number}": picture for number in range(600)})
    path = tmp_path / "long.npz"
    model.save(path)
    assert FewShotClassifier.load(golden_bundle, path).classes == model.classes
    for name in model.classes:
        model.forget_image(name)
    if letter == "x":
        model.save(path)
        assert FewShotClassifier.load(golden_bundle, path).classes == model.classes


def test_a_threshold_travels_with_the_head_and_may_be_replaced(
    golden_bundle: Path, head: Path
) -> None:
    model = FewShotClassifier.load(golden_bundle, head, threshold=0.25)
    model.save(head)
    assert FewShotClassifier.load(golden_bundle, head).threshold == 0.25
    assert FewShotClassifier.load(golden_bundle, head, threshold=-1).threshold == -1


def test_rows_in_any_order_and_a_compressed_file_are_read(golden_bundle: Path, head: Path) -> None:
    content = read(head)
    order = [4, 0, 3, 2, 1]
    content |= {key: content[key][order] for key in ("embeddings", "labels")}
    meta = np.frombuffer(json.dumps(content["meta"]).encode(), np.uint8)
    np.savez_compressed(head, **{**content, "meta": meta, "of the future": np.ones(3)})
    found = FewShotClassifier.load(golden_bundle, head).classes
    assert found == {"gala apple": 3, "Ω": 2, "empty": 0}


def test_a_head_without_classes_is_read(golden_bundle: Path, tmp_path: Path) -> None:
    FewShotClassifier(golden_bundle).save(tmp_path / "new.npz")
    assert FewShotClassifier.load(golden_bundle, tmp_path / "new.npz").classes == {}


def meta(**changes: Any) -> Callable[[Content, Path], None]:
    return lambda content, path: write(path, {**content, "meta": {**content["meta"], **changes}})


def array(**changes: Any) -> Callable[[Content, Path], None]:
    return lambda content, path: write(path, content, **changes)


def without(name: str) -> Callable[[Content, Path], None]:
    return lambda content, path: np.savez(
        path, **{key: value for key, value in content.items() if key not in (name, "meta")}
    )


def nan(content: Content, path: Path) -> None:
    content["embeddings"][2, 3] = np.nan
    write(path, content)


HUGE = {
    "rows": (10**12, 1),  # 4 TB of float32
    "columns": (5, 10**12),
    "both": (10**9, 10**9),
    "minus": (-5, -8),
}


def declares(shape: tuple[int, ...], dtype: str = "<f4") -> Callable[[Content, Path], None]:
    """Embeddings whose header promises what the file does not hold."""

    def change(content: Content, path: Path) -> None:
        header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        lying = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(160)
        stored_zip(
            path,
            {
                "embeddings": lying,
                "labels": npy(content["labels"]),
                "meta": npy(np.frombuffer(json.dumps(content["meta"]).encode(), np.uint8)),
            },
        )

    return change


def bomb(name: str, size: int, dtype: type) -> Callable[[Content, Path], None]:
    """An array of a small file that unpacks to much: more than labels and classes allow."""

    def change(content: Content, path: Path) -> None:
        meta = np.frombuffer(json.dumps(content["meta"]).encode(), np.uint8)
        members = {key: npy(array) for key, array in {**content, "meta": meta}.items()}
        members[name] = npy(np.zeros((size, 8) if name == "embeddings" else size, dtype))
        stored_zip(path, members, zipfile.ZIP_DEFLATED)
        assert path.stat().st_size < 200_000

    return change


def many_entries(content: Content, path: Path) -> None:
    stored_zip(path, {f"{number:06}": b"" for number in range(3_000)})


def large_kind(content: Content, path: Path) -> None:
    write(path, content)
    whole = path.read_bytes()
    path.write_bytes(whole[:-22] + b"PK\6\7" + bytes(16) + whole[-22:])


def cut(content: Content, path: Path) -> None:
    write(path, content)
    path.write_bytes(path.read_bytes()[:700])


def flip(content: Content, path: Path) -> None:
    write(path, content)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"NUMPY", whole.index(b"embeddings.npy")) + 130] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (meta(encoder_sha256="0" * 64, bundle="other"), "made with another encoder .'other', enc"),
        (meta(format=2), "found no head of format 1"),
        (meta(kind="x"), "found no head of format 1"),
        (meta(classes=["a"]), "found labels from 0 to 1, needed 0 to 0"),
        (meta(classes=["a", "a", "b"]), "found a class twice"),
        (meta(classes=["a", "", "b"]), "found the class name ''"),
        (meta(classes=["a", {}, "b"]), "found the class name {}"),
        (meta(classes={"a": 1}), "found no names and sources"),
        (meta(classes=[str(one) for one in range(10_001)]), "more than 10,000 classes"),
        (meta(sources=["x"]), "found 5 embeddings, 5 labels and 1 sources"),
        (meta(sources=[1] * 5), "found no names and sources"),
        (meta(threshold="high"), "found the threshold 'high'"),
        (meta(threshold=float("nan")), "found the threshold nan"),
        (meta(embedded_by=7), "found no names and sources"),
        (meta(embedded_by="../../x.onnx"), "this bundle has no"),
        (array(meta=np.frombuffer(b"[" * 100_000, np.uint8)), "damaged, or no head file"),
        (array(meta=np.frombuffer(b"\xff{}", np.uint8)), "damaged, or no head file"),
        (array(meta=np.frombuffer(b"[]", np.uint8)), "found no head of format 1"),
        (array(labels=np.array([0, 0, 0, 1, 3])), "found labels from 0 to 3, needed 0 to 2"),
        (array(labels=np.array([0, 0, 0, 1, -1])), "found labels from -1 to 1"),
        (array(labels=np.zeros(5, np.int32)), "labels: found int32 .5,., needed int64"),
        (array(labels=np.zeros((5, 1), np.int64)), "labels: found int64 .5, 1., needed int64"),
        (array(labels=np.zeros(4, np.int64)), "found 5 embeddings, 4 labels and 5 sources"),
        (array(embeddings=np.zeros((5, 8))), "embeddings: found float64"),
        (array(embeddings=np.zeros((5, 8), ">f4")), "embeddings: found >f4"),
        (array(embeddings=np.zeros((8, 5), np.float32).T), "declares .5, 8., 160 bytes, but"),
        (array(embeddings=np.zeros((5, 9), np.float32)), "found embeddings of 9 numbers, needed 8"),
        (array(embeddings=np.array([[{}] * 8] * 5)), "embeddings: found object"),
        (nan, "found embeddings that are no numbers"),
        (without("embeddings"), "found no array 'meta'"),
        *((declares(shape), "embeddings: (declares|found)") for shape in HUGE.values()),
        (declares((5, 8), "|O"), "embeddings: found object"),
        (bomb("meta", 2_000_000, np.uint8), "meta: found 2,000,128 bytes .* at most 1,062,912"),
        (bomb("embeddings", 3_000_000, np.float32), "embeddings: found .* at most 160 of"),
        (bomb("labels", 10_000_000, np.int64), "labels: found .* needed at most 800,000"),
        (many_entries, "found a long list of contents"),
        (large_kind, "found no plain .npz file"),
        (cut, "found no plain .npz file"),
        (flip, "damaged, or no head file"),
        (lambda _, path: path.write_bytes(b""), "found no plain .npz file"),
        (lambda _, path: path.unlink(), "no head file here"),
        (lambda _, path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
        (meta(embedded_by_sha256="0" * 64), "embedded by another encoder.onnx ..000000000000..,"),
        (meta(embedded_by_sha256=[]), "embedded by another encoder.onnx"),
    ],
)
def test_a_head_that_is_not_sound_is_refused_in_one_line_before_memory_is_taken(
    golden_bundle: Path, head: Path, change: Callable[[Content, Path], object], line: str
) -> None:
    change(read(head), head)
    tracemalloc.start()
    try:
        with pytest.raises(FewShotError, match=line) as refused:
            FewShotClassifier.load(golden_bundle, head)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)
    assert most < 20_000_000


def test_a_stream_that_holds_more_than_it_declares_is_not_unpacked(
    golden_bundle: Path, head: Path
) -> None:
    """The directory says 100 bytes; the deflated stream would give 200 MB."""
    stored_zip(head, {"meta": npy(np.zeros(200_000_000, np.uint8))}, zipfile.ZIP_DEFLATED)
    whole = bytearray(head.read_bytes())
    at = whole.rindex(b"PK\1\2")
    whole[at + 24 : at + 28] = struct.pack("<I", 100)
    head.write_bytes(whole)
    tracemalloc.start()
    with pytest.raises(FewShotError, match=r"shop\.npz: "):
        FewShotClassifier.load(golden_bundle, head)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000


def test_the_sources_of_files_are_kept_by_name(golden_bundle: Path, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / ("é" + "x" * 150 + ".png")
    Image.fromarray(images(1)[0]).save(path)
    model = FewShotClassifier(golden_bundle)
    model.enroll("a", [path, str(path), Image.open(path), images(1)[0]])
    model.save(tmp_path / "new.npz")
    assert read(tmp_path / "new.npz")["meta"]["sources"] == [*[path.name[:100]] * 3, ""]
