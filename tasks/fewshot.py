"""Learns classes of images from a few pictures each, with the ONNX graphs of a Headstart bundle.

    model = FewShotClassifier("exports/bundle")
    model.enroll("gala apple", ["a.jpg", "b.jpg"])   # any time, any number
    model.enroll("pear", pictures)                   # paths, Pillow images or arrays
    model.predict("query.jpg")                       # [("pear", 0.97), ("gala apple", 0.03)]
    model.predict("query.jpg").unknown               # True below the bundle's threshold
    model.save("shop.npz")
    model = FewShotClassifier.load("exports/bundle", "shop.npz")

Needs Python 3.10, numpy 1.21, Pillow 10.1 and onnxruntime 1.14, or later ones; Pillow only for
what is no array. This one file may be copied anywhere.

A picture is embedded once, when it is enrolled; its embedding is kept. The rule that tells the
classes apart is made again at the first prediction after a change. All methods may be called from
several threads at once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import operator
import os
import re
import stat
import struct
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast, overload
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray
    from PIL import Image


def _refuse_old(name: str, found: str, needed: str) -> None:
    """Check a version by its first two numbers.

    Raises:
        ImportError: it is older than needed.
    """
    old, least = (tuple(map(int, re.findall(r"\d+", text)[:2])) for text in (found, needed))
    if old < least:
        raise ImportError(f"{__name__}: found {name} {found}, needed {needed} or later; update it")


_refuse_old("Python", sys.version, "3.10")
_refuse_old("numpy", np.__version__, "1.21")
_refuse_old("onnxruntime", onnxruntime.__version__, "1.14")

__all__ = ["FewShotClassifier", "FewShotError", "Ranking", "read_image"]

FORMAT = 1  # of bundles
HEAD_FORMAT = 1
HEAD_KIND = "headstart head"
FLOAT_ENCODER = "encoder.onnx"

MAXIMUM_CLASSES = 10_000
MAXIMUM_IMAGES = 100_000  # enrolled together, or in one prediction
MAXIMUM_NAME_LENGTH = 200
_MAXIMUM_SOURCE_LENGTH = 100
_META_BYTES = 2**20  # of what is not by class or image, and of classes without images
_META_BYTES_EACH = 2**11  # of a class or an image: its name, escaped
_MAXIMUM_MANIFEST_BYTES = 16 * 2**20
_MAXIMUM_GRAPH_BYTES = 2**31  # no ONNX file can be larger
_MAXIMUM_ZIP_DIRECTORY_BYTES = 2**16
_MAXIMUM_NPY_HEADER_BYTES = 2**14

# Of decoded images that wait, and of one run of the encoder; more is no faster, and takes memory.
_PIXELS_AT_ONCE = 1_000_000
_IMAGES_AT_ONCE = 8
_QUIET = 3  # of the runtime's log: errors only, which come as exceptions as well

# Named, because a file chooses its decoder by its content, and Pillow's list holds some that
# start other programs (EPS).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8]"
Progress: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]


class FewShotError(ValueError):
    """Something that the caller can mend; one line: what was found, needed, and what to do."""


class Ranking(list[tuple[str, float]]):
    """What the model makes of one image: every class with its probability, the likeliest first.

    Attributes:
        score: what is compared with the threshold: the highest probability, or the mean cosine
            between the image and those of the likeliest class, as the bundle says.
        unknown: whether the score lies below the threshold.
    """

    def __init__(
        self, ranked: Iterable[tuple[str, float]], score: float, threshold: float | None
    ) -> None:
        super().__init__(ranked)
        self.score = score
        self.unknown = threshold is not None and score < threshold

    @property
    def name(self) -> str | None:
        """The likeliest class; None where the image is unknown."""
        return None if self.unknown else self[0][0]


class FewShotClassifier:
    """Classes that are learned from pictures, and told apart.

    Args:
        bundle: a folder that Headstart exported.
        encoder: which of its encoders embeds: `encoder.onnx`, or the smaller and faster
            `encoder.int8.onnx`.
        threads: of the encoder; None leaves it to ONNX Runtime, which takes every core.
        threshold: a prediction of a lower score is `unknown`; None takes the bundle's own, which
            not every bundle has; -1 lets every answer stand.

    Raises:
        FewShotError: no bundle, damaged, of another format, or a graph that is no plain ONNX. The
            hashes checked show damage; they are no proof of where a bundle came from.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        encoder: str = FLOAT_ENCODER,
        threads: int | None = None,
        threshold: float | None = None,
    ) -> None:
        if threads is not None and not _is_count(threads):
            raise FewShotError(f"found threads {threads!r}, needed a number from 1, or None")
        self._graphs = _Graphs(Path(bundle), encoder, threads)
        self._own_threshold = _checked_threshold(threshold)
        self._lock = threading.RLock()  # held for moments; not while graphs run
        self._learning = threading.Lock()  # so that several predictions learn once
        self._pictures: dict[str, list[_Picture]] = {}
        self._rule: _Rule | None = None
        self._changes = 0  # of the pictures, which make the rule stale

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str],
        head: str | os.PathLike[str],
        *,
        encoder: str | None = None,
        threads: int | None = None,
        threshold: float | None = None,
    ) -> FewShotClassifier:
        """A model with the classes of a head file that `save` or the teach page wrote.

        Args:
            bundle: the bundle that the head was made with.
            head: the `.npz` file.
            encoder: of later images; None takes the one that embedded the head's.
            threads: as for a new model.
            threshold: None takes the head's, or else the bundle's.

        Raises:
            FewShotError: as for a new model; or the head is missing, damaged, larger than
                accepted, or made with another encoder.
        """
        manifest = _read_manifest(Path(bundle))
        found = _read_head(Path(head), _encoder_sha256(manifest), manifest["embedding_dim"])
        own = found.meta["threshold"] if threshold is None else threshold
        embedded_by = found.meta["embedded_by"]
        model = cls(
            bundle,
            encoder=embedded_by if encoder is None else encoder,
            threads=threads,
            threshold=own,
        )
        if model._graphs.encoder == embedded_by:
            found.refuse_other(model._graphs.embedded_by_sha256, Path(head))
        model._pictures = found.pictures()
        return model

    @property
    def classes(self) -> dict[str, int]:
        """Number of enrolled images by class, in order of enrolment."""
        with self._lock:
            return {name: len(pictures) for name, pictures in self._pictures.items()}

    @property
    def threshold(self) -> float | None:
        """A prediction of a lower score is `unknown`; None: none is."""
        return self._graphs.threshold if self._own_threshold is None else self._own_threshold

    def enroll(
        self,
        name: str,
        images: ImageLike | Iterable[ImageLike],
        progress: Progress | None = None,
    ) -> None:
        """Add images to a class, which is made where there is none of that name.

        Args:
            name: any text; equal under Unicode normalisation (NFC) is the same.
            images: one or several: paths, Pillow images, or uint8 arrays `(height, width, 3)`.
            progress: is given the images and gives them back, as `tqdm` does.

        Raises:
            FewShotError: a name or an image that cannot be used; then none of them is added.
        """
        self.enroll_all({name: images}, progress)

    def enroll_all(
        self,
        classes: Mapping[str, ImageLike | Iterable[ImageLike]],
        progress: Progress | None = None,
    ) -> None:
        """Add images to several classes, all or none; see `enroll`."""
        named = [(_checked_name(name), _listed(images)) for name, images in classes.items()]
        for name, images in named:
            if not images:
                raise FewShotError(f"{name!r}: found no image, needed one or more")
        every = [image for _, images in named for image in images]
        self._refuse_too_many(dict(named), len(every))  # before anything is embedded
        embeddings = iter(self.embed(every, progress))
        with self._lock:
            self._refuse_too_many(dict(named), len(every))
            self._changed()
            for name, images in named:
                added = [_Picture(next(embeddings), _source(image)) for image in images]
                self._pictures.setdefault(name, []).extend(added)

    def embed(
        self, images: Iterable[ImageLike], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Embed images, a bounded number of pixels at a time: `(image, dim)`, in their order.

        Raises:
            FewShotError: an image that cannot be used.
        """
        listed = _listed(images)
        if len(listed) > MAXIMUM_IMAGES:
            raise FewShotError(
                f"found {len(listed):,} images, needed at most {MAXIMUM_IMAGES:,}; give fewer"
            )
        return self._graphs.embed(listed, progress or _plain)

    @overload  # a text is one path, though Python takes it for a sequence of texts
    def predict(self, images: ImageLike, progress: Progress | None = ...) -> Ranking: ...  # type: ignore[overload-overlap]
    @overload
    def predict(
        self, images: Iterable[ImageLike], progress: Progress | None = ...
    ) -> list[Ranking]: ...
    def predict(
        self, images: ImageLike | Iterable[ImageLike], progress: Progress | None = None
    ) -> Ranking | list[Ranking]:
        """Name one image, or several at once, which is faster.

        Args:
            images: as for `enroll`.
            progress: likewise.

        Returns:
            A `Ranking` for one image, a list of them for several. A class whose last image was
            taken away has probability 0.

        Raises:
            FewShotError: no image is enrolled, or an image cannot be used.
        """
        self._current_rule()  # told before any image is read
        rankings = self._rank(self.embed(_listed(images), progress))
        return rankings[0] if _is_one(images) else rankings

    def forget(self, name: str) -> None:
        """Remove a class with all its images.

        Raises:
            FewShotError: there is no such class.
        """
        with self._lock:
            del self._pictures[self._known(name)]
            self._changed()

    def forget_image(self, name: str, index: int = -1) -> None:
        """Remove one image of a class: the newest, or by its number in order of enrolment from 0.

        The class stays, even without images.

        Raises:
            FewShotError: there is no such class or image.
        """
        with self._lock:
            pictures = self._pictures[self._known(name)]
            try:
                del pictures[operator.index(index)]
            except (IndexError, TypeError):
                raise FewShotError(
                    f"{name!r}: found {len(pictures)} images, needed one of number {index!r}; "
                    "they count from 0"
                ) from None
            self._changed()

    def rename(self, old: str, new: str) -> None:
        """Call a class otherwise; it keeps its place.

        Raises:
            FewShotError: there is no such class, or another has the new name.
        """
        with self._lock:
            before, after = self._known(old), _checked_name(new)
            if after != before and after in self._pictures:
                raise FewShotError(f"{after!r}: there is such a class already; choose another name")
            self._pictures = {
                after if name == before else name: pictures
                for name, pictures in self._pictures.items()
            }
            self._changed()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the enrolled classes to a head file (`.npz`, no pickle), whole or not at all.

        A file that is there keeps its permissions; a link stays, and what it points to is replaced.

        Raises:
            FewShotError: the file cannot be written.
        """
        with self._lock:
            classes = {name: list(pictures) for name, pictures in self._pictures.items()}
        counts = [len(pictures) for pictures in classes.values()]
        every = [picture for pictures in classes.values() for picture in pictures]
        meta = {
            "format": HEAD_FORMAT,
            "kind": HEAD_KIND,
            "encoder_sha256": self._graphs.encoder_sha256,
            "embedded_by": self._graphs.encoder,
            "embedded_by_sha256": self._graphs.embedded_by_sha256,
            "bundle": self._graphs.name,
            "classes": list(classes),
            "sources": [picture.source for picture in every],
            "threshold": self._own_threshold,
        }
        labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
        text = json.dumps(meta, ensure_ascii=False).encode()
        if len(text) > _maximum_meta_bytes(labels):  # `load` would refuse it
            raise FewShotError("found too many classes without images; forget some first")
        arrays = {
            "embeddings": _stacked(every, self._graphs.dim),
            "labels": labels,
            "meta": np.frombuffer(text, np.uint8),
        }
        _write_whole(Path(path), lambda file: np.savez(file, **cast(dict[str, Any], arrays)))

    def _rank(self, embeddings: NDArray[np.float32]) -> list[Ranking]:
        rule = self._current_rule()
        probabilities = self._graphs.predict(embeddings, rule.weight, rule.bias)
        best = probabilities.argmax(axis=1)
        scores = probabilities.max(axis=1)
        if self._graphs.score == "similarity":
            scores = (_directions(embeddings) * rule.means[best]).sum(axis=1)
        return [
            Ranking(
                sorted(zip(rule.names, row, strict=True), key=lambda one: -one[1]),
                score,
                self.threshold,
            )
            for row, score in zip(probabilities.tolist(), scores.tolist(), strict=True)
        ]

    def _changed(self) -> None:
        self._rule = None
        self._changes += 1

    def _current_rule(self) -> _Rule:
        """What follows from the pictures as they are at the call, or later."""
        with self._learning:
            with self._lock:
                if self._rule is not None:
                    return self._rule
                changes = self._changes
                pictures = {name: tuple(each) for name, each in self._pictures.items()}
            rule = self._learn(pictures)
            with self._lock:
                if changes == self._changes:
                    self._rule = rule
            return rule

    def _learn(self, classes: Mapping[str, Sequence[_Picture]]) -> _Rule:
        counts = [len(pictures) for pictures in classes.values()]
        if not any(counts):
            raise FewShotError("found no enrolled image, needed one or more: enroll(name, images)")
        every = [picture for pictures in classes.values() for picture in pictures]
        embeddings = _stacked(every, self._graphs.dim)
        labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
        weight, bias = self._graphs.adapt(embeddings, labels, len(counts))
        sums = np.zeros((len(counts), self._graphs.dim), np.float32)
        np.add.at(sums, labels, _directions(embeddings))
        means = sums / np.maximum(counts, 1).astype(np.float32)[:, None]
        return _Rule(tuple(classes), weight, bias, means)

    def _known(self, name: str) -> str:
        """The name as it is kept, of a class that there is."""
        kept = _checked_name(name)
        if kept not in self._pictures:
            names = ", ".join(map(repr, list(self._pictures)[:5])) or "none"
            raise FewShotError(f"{kept!r}: no such class; enrolled: {names}")
        return kept

    def _refuse_too_many(self, named: Mapping[str, object], images: int) -> None:
        with self._lock:
            classes = len({*self._pictures, *named})
            total = images + sum(map(len, self._pictures.values()))
        if classes > MAXIMUM_CLASSES or total > MAXIMUM_IMAGES:
            raise FewShotError(
                f"found {classes:,} classes of {total:,} images together, needed at most "
                f"{MAXIMUM_CLASSES:,} and {MAXIMUM_IMAGES:,}; forget some first"
            )


@dataclass(frozen=True, slots=True)
class _Picture:
    """An enrolled image: its embedding `(dim,)`, and where it came from, for people."""

    embedding: NDArray[np.float32]
    source: str


@dataclass(frozen=True)
class _Rule:
    """What was learned: names, weight `(way, feature)`, bias, and mean directions `(way, dim)`."""

    names: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    means: NDArray[np.float32]


def _stacked(pictures: Sequence[_Picture], dim: int) -> NDArray[np.float32]:
    rows = np.empty((len(pictures), dim), np.float32)
    for row, picture in zip(rows, pictures, strict=True):
        row[:] = picture.embedding
    return rows


def _directions(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows at length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return cast("NDArray[np.float32]", rows / np.maximum(lengths, np.float32(1e-12)))


def _checked_name(name: object) -> str:
    kept = unicodedata.normalize("NFC", name) if isinstance(name, str) else ""
    if not kept.strip():
        raise FewShotError(f"found the class name {name!r}, needed a text that is not empty")
    if len(kept) > MAXIMUM_NAME_LENGTH:
        raise FewShotError(
            f"found a class name of {len(kept)} characters ({kept[:20]!r}...), needed at most "
            f"{MAXIMUM_NAME_LENGTH}; shorten it"
        )
    if not _is_unicode(kept):
        raise FewShotError(f"found the class name {kept!r}, needed whole Unicode characters")
    return kept


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in text)


def _checked_threshold(threshold: object) -> float | None:
    if threshold is None:
        return None
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, int | float)
        or not -1 <= threshold <= 1
    ):
        raise FewShotError(f"found the threshold {threshold!r}, needed a number from -1 to 1")
    return float(threshold)


def _is_one(images: object) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim <= 3
    return isinstance(images, str | os.PathLike) or not isinstance(images, Iterable)


def _listed(images: Any) -> list[Any]:
    return [images] if _is_one(images) else list(images)


def _source(image: object) -> str:
    """A file's name, as far as there is one and it is text."""
    if not isinstance(image, str | os.PathLike):
        image = getattr(image, "filename", "")  # of a Pillow image that was opened from a file
    text = os.path.basename(os.fsdecode(cast(Any, image) or ""))[:_MAXIMUM_SOURCE_LENGTH]  # noqa: PTH119 - also of "."
    return text.encode("utf-8", "replace").decode()


def _plain(items: Sequence[Any]) -> Iterable[Any]:
    return items


# --- the bundle -----------------------------------------------------------------------------------

_DTYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "int64": "tensor(int64)"}


class _Graphs:
    """The graphs of a bundle that adapting needs, checked and ready to run.

    Args:
        folder: the bundle.
        encoder: file name of the encoder to use.
        threads: of the encoder.
    """

    def __init__(self, folder: Path, encoder: str, threads: int | None) -> None:
        if not isinstance(encoder, str):
            raise FewShotError(f"found encoder {encoder!r}, needed the name of its file")
        manifest = _read_manifest(folder)
        self.name = cast(str, manifest["name"])
        self.encoder = encoder
        self.encoder_sha256 = _encoder_sha256(manifest)
        self.embedded_by_sha256 = manifest["files"].get(encoder, {}).get("sha256")
        self.dim = cast(int, manifest["embedding_dim"])
        self.maximum_side_px = cast(int, manifest["limits"]["maximum_image_side_px"])
        self._maximum_batch = cast(int, manifest["limits"]["maximum_batch"])
        unknown = manifest.get("unknown") or {}
        self.score = cast(str, unknown.get("score", "probability"))
        self.threshold = cast("float | None", unknown.get("threshold"))
        self._feature_dim = cast(int, manifest.get("feature_dim", self.dim))
        rule = {"weight": ("float32", self._feature_dim), "bias": ("float32", None)}
        embeddings = {"embeddings": ("float32", self.dim)}
        self._sessions = {
            name: _session(folder, file, manifest, inputs, outputs, own_threads)
            for name, file, inputs, outputs, own_threads in (
                ("encoder", encoder, {"images": ("uint8", 3)}, embeddings, threads or 0),
                (
                    "adapt",
                    "adapt.onnx",
                    {**embeddings, "labels": ("int64", None), "classes": ("int64", None)},
                    rule,
                    1,
                ),
                (
                    "predict",
                    "predict.onnx",
                    {**embeddings, **rule},
                    {"logits": ("float32", None), "probabilities": ("float32", None)},
                    1,
                ),
            )
        }

    def embed(self, images: Sequence[ImageLike], progress: Progress) -> NDArray[np.float32]:
        """Embeddings `(image, dim)` of images that are read as they are needed."""
        found = np.empty((len(images), self.dim), np.float32)
        waiting: dict[int, NDArray[np.uint8]] = {}
        pixels = seen = 0
        for index, image in enumerate(progress(images)):
            seen = index + 1
            if seen > len(images):
                break
            try:
                waiting[index] = read_image(image, self.maximum_side_px)
            except FewShotError as fault:
                where = "" if isinstance(image, str | os.PathLike) else f"image {index + 1}: "
                raise FewShotError(f"{where}{fault}") from None
            pixels += waiting[index].size // 3
            if pixels >= _PIXELS_AT_ONCE or len(waiting) >= self._maximum_batch:
                self._embed_waiting(waiting, found)
                pixels = 0
        self._embed_waiting(waiting, found)
        if seen != len(images):
            raise FewShotError(
                f"progress gave {'more' if seen > len(images) else seen} images, needed the "
                f"{len(images)} that it got; give each back once"
            )
        if not np.isfinite(found).all():
            raise FewShotError(f"{self.encoder}: gave embeddings that are no numbers; export again")
        return found

    def adapt(
        self, embeddings: NDArray[np.float32], labels: NDArray[np.int64], way: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight and bias of classes 0 .. way - 1."""
        inputs: dict[str, NDArray[Any]] = {"embeddings": embeddings, "labels": labels}
        inputs["classes"] = np.arange(way, dtype=np.int64)
        shapes = {"weight": (way, self._feature_dim), "bias": (way,)}
        weight, bias = self._run("adapt", shapes, inputs)
        return weight, bias

    def predict(
        self,
        embeddings: NDArray[np.float32],
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Probabilities `(image, way)`."""
        inputs = {"embeddings": embeddings, "weight": weight, "bias": bias}
        shapes = {"probabilities": (len(embeddings), len(weight))}
        (probabilities,) = self._run("predict", shapes, inputs)
        if not np.isfinite(probabilities).all():
            raise FewShotError("predict.onnx: gave probabilities that are no numbers; export again")
        return probabilities

    def _embed_waiting(
        self, waiting: dict[int, NDArray[np.uint8]], found: NDArray[np.float32]
    ) -> None:
        """Embed images of one size together, and forget them."""
        sizes: dict[tuple[int, ...], list[int]] = {}
        for index, image in waiting.items():
            sizes.setdefault(image.shape, []).append(index)
        for (height, width, _), members in sizes.items():
            fitting = max(1, _PIXELS_AT_ONCE // (height * width))
            largest = min(fitting, _IMAGES_AT_ONCE, self._maximum_batch)
            for at in range(0, len(members), largest):
                chosen = members[at : at + largest]
                batch = np.stack([waiting[index] for index in chosen])
                shapes = {"embeddings": (len(chosen), self.dim)}
                (found[chosen],) = self._run("encoder", shapes, {"images": batch})
        waiting.clear()

    def _run(
        self, graph: str, outputs: Mapping[str, tuple[int, ...]], inputs: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """The outputs named, which must have these shapes."""
        try:
            arrays = cast("list[NDArray[Any]]", self._sessions[graph].run(list(outputs), inputs))
        except Exception as error:  # the runtime's own exceptions share no other base
            raise FewShotError(f"{graph}: refused its inputs ({_first(error)})") from None
        for (name, shape), found in zip(outputs.items(), arrays, strict=True):
            if found.shape != shape:
                raise FewShotError(
                    f"{graph}: gave {name} of shape {found.shape}, needed {shape}; export it again"
                )
        return arrays


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise FewShotError(
            f"{folder}: no bundle here (manifest.json not found); name the folder that Headstart "
            "exported"
        )
    try:
        manifest = json.loads(_read_file(path, _MAXIMUM_MANIFEST_BYTES))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FewShotError):
            raise
        raise FewShotError(f"{path}: damaged ({_first(error)}); copy the bundle again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise FewShotError(
            f"{path}: found format {found!r}, needed {FORMAT}; use the fewshot.py that came with "
            "the bundle"
        )
    if not _is_sound(manifest):
        raise FewShotError(f"{path}: damaged (entries missing); copy or export the bundle again")
    return manifest


def _is_sound(manifest: Mapping[str, Any]) -> bool:
    limits, files = manifest.get("limits"), manifest.get("files")
    unknown = manifest.get("unknown")
    return (
        isinstance(manifest.get("name"), str)
        and _is_count(manifest.get("embedding_dim"))
        and _is_count(manifest.get("feature_dim", manifest["embedding_dim"]))
        and isinstance(limits, dict)
        and all(_is_count(limits.get(f"maximum_{one}")) for one in ("batch", "image_side_px"))
        and isinstance(files, dict)
        and all(isinstance(files.get(one), dict) for one in (FLOAT_ENCODER, "adapt.onnx"))
        and all(isinstance(one, dict) and "sha256" in one for one in files.values())
        and (unknown is None or _is_sound_unknown(unknown))
    )


def _is_sound_unknown(unknown: object) -> bool:
    if not isinstance(unknown, dict) or unknown.get("score") not in ("similarity", "probability"):
        return False
    threshold = unknown.get("threshold")
    return isinstance(threshold, int | float) and -1 <= threshold <= 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _encoder_sha256(manifest: Mapping[str, Any]) -> str:
    return cast(str, manifest["files"][FLOAT_ENCODER]["sha256"])


def _session(
    folder: Path,
    file: str,
    manifest: Mapping[str, Any],
    inputs: Mapping[str, tuple[str, int | None]],
    outputs: Mapping[str, tuple[str, int | None]],
    threads: int,
) -> onnxruntime.InferenceSession:
    """Check a graph and make it run.

    Args:
        folder: the bundle.
        file: name of the graph's file.
        manifest: of the bundle.
        inputs: by name: dtype, and length of the last axis where it is fixed.
        outputs: likewise.
        threads: to run it with; 0 leaves that to the runtime.
    """
    path = folder / file
    entry = manifest["files"].get(file)
    if entry is None or Path(file).name != file:
        others = ", ".join(sorted(one for one in manifest["files"] if "encoder" in one))
        raise FewShotError(f"{folder}: this bundle has no {file!r}; it has {others}")
    content = _read_file(path, _MAXIMUM_GRAPH_BYTES)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise FewShotError(
            f"{path}: damaged: its content differs from manifest.json; copy or export the bundle "
            "again"
        )
    refuse_dangers(content, str(path))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = threads
    # Threads that wait by spinning take the cores from the other sessions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if "encoder" not in file:
        # Older runtimes, 1.24 among them, fuse products of float64 into a node they cannot run.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions share no other base
        raise FewShotError(
            f"{path}: no graph that runs ({_first(error)}); export it again"
        ) from None
    for kind, has, wants in (
        ("inputs", session.get_inputs(), inputs),
        ("outputs", session.get_outputs(), outputs),
    ):
        found = {one.name: (one.type, one.shape[-1:]) for one in has}
        for name, (dtype, length) in wants.items():
            kinds, last = found.get(name, ("", []))
            if kinds != _DTYPES[dtype] or (length is not None and last != [length]):
                raise FewShotError(
                    f"{path}: found {kind} {found}, needed {name} of {dtype}"
                    f"{'' if length is None else f' and length {length}'}; export it again"
                )
    return session


def _read_file(path: Path, maximum_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > maximum_bytes:
                raise FewShotError(
                    f"{path}: found {size:,} bytes, needed at most {maximum_bytes:,}; use a "
                    "bundle from a source that you trust"
                )
            return file.read()
    except OSError as error:
        raise FewShotError(f"{path}: cannot be read: {error.strerror}; copy it again") from None


def _first(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


# --- two dangers in the raw bytes of a graph ------------------------------------------------------
# External data makes a runtime read other files; operators of foreign domains are code of somebody
# else. There may be no `onnx` package here, so this walks the protobuf wire format itself: it
# descends into the messages named in `_CHILDREN` and looks at three fields. Where parsers differ
# about damaged bytes, they are refused.
# Source: onnx/onnx.proto, IR version 8 and later; Protocol Buffers, Encoding.

# message -> number of a field -> the message that field holds
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
}
_DOMAIN = {"opset": 1, "node": 7, "function": 10}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_DEEPEST = 32


def refuse_dangers(model: bytes, name: str) -> None:
    """Check that a graph needs no other file and no operator beyond standard ONNX.

    Args:
        model: a serialised ModelProto.
        name: what to call it in messages.

    Raises:
        FewShotError: it does, or it is no graph at all.
    """
    try:
        _walk(memoryview(model), "model", name, 0)
    except (IndexError, ValueError) as error:
        if isinstance(error, FewShotError):
            raise
        raise FewShotError(
            f"{name}: damaged: not an ONNX graph; copy or export the bundle again"
        ) from None


def _walk(data: memoryview, message: str, name: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    for field, value in _fields(data):
        if _DOMAIN.get(message) == field and isinstance(value, memoryview):
            domain = bytes(value).decode()
            if domain not in ("", "ai.onnx"):
                raise FewShotError(
                    f"{name}: found operators of domain {domain!r}, needed standard ONNX alone; "
                    "use a bundle from a source that you trust"
                )
        if message == "tensor" and (
            field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)
        ):
            raise FewShotError(
                f"{name}: found weights in a file outside the graph, needed all of them inside; "
                "use a bundle from a source that you trust"
            )
        child = _CHILDREN.get(message, {}).get(field)
        if child is not None:
            if not isinstance(value, memoryview):
                raise ValueError("a number where a message belongs")
            _walk(value, child, name, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Every field of a message: its number, and its bytes, or its value if that is a varint."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if not 8 <= key < 2**32:  # some parsers take the lower 32 bits, which name another field
            raise ValueError("no field has this number")
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError("unknown wire type")
        size, at = _varint(data, at) if kind == 2 else (8 if kind == 1 else 4, at)
        if at + size > len(data):
            raise ValueError("cut off")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("number too long")


# --- images ---------------------------------------------------------------------------------------


def read_image(image: ImageLike, maximum_side_px: int) -> NDArray[np.uint8]:
    """One image as the encoder takes it: turned as its EXIF says, transparency on white, 8 bits.

    The size in a file's header is checked before anything is decoded.

    Args:
        image: a path, a Pillow image, or an array `(height, width, 3)`.
        maximum_side_px: the longest side to accept.

    Returns:
        RGB `(height, width, 3)`, 0..255; the first frame of several.

    Raises:
        FewShotError: no image, damaged, or larger than accepted.
    """
    if isinstance(image, np.ndarray):
        return _checked_array(image, maximum_side_px)
    import PIL  # not needed by who has arrays
    from PIL import Image

    _refuse_old("Pillow", PIL.__version__, "10.1")
    if isinstance(image, Image.Image):
        return _decoded(lambda: image, maximum_side_px)
    if not isinstance(image, str | os.PathLike):
        raise FewShotError(
            f"found {type(image).__name__}, needed a path, a Pillow image or a uint8 array "
            "(height, width, 3)"
        )
    try:
        with Path(image).open("rb") as file:
            return _decoded(lambda: Image.open(file, formats=_FORMATS), maximum_side_px)
    except FewShotError as fault:
        raise FewShotError(f"{image}: {fault}") from None
    except OSError as error:
        raise FewShotError(f"{image}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # of a path with a zero byte in it
        raise FewShotError(f"{str(image)!r}: cannot be read: {error}") from None


def _checked_array(image: NDArray[Any], maximum_side_px: int) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise FewShotError(
            f"found an image {image.shape} of {image.dtype}, needed (height, width, 3) of uint8"
        )
    _refuse_large(image.shape[1], image.shape[0], maximum_side_px)
    return image


def _refuse_large(width: int, height: int, maximum_side_px: int) -> None:
    if max(width, height) > maximum_side_px:
        raise FewShotError(
            f"found {width:,} x {height:,} px, needed at most {maximum_side_px:,} px a side; "
            "shrink it"
        )


def _decoded(opened: Callable[[], Image.Image], maximum_side_px: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = opened()
        _refuse_large(*image.size, maximum_side_px)
        image.load()
        upright = image if _is_upright(image) else ImageOps.exif_transpose(image)
        return np.array(_rgb(upright, image.format))
    except FewShotError:
        raise
    except MemoryError:
        raise FewShotError("too large for the memory there is; shrink it") from None
    except UnidentifiedImageError:
        raise FewShotError(f"not an image; needed one of {', '.join(_FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise FewShotError(
            "its header claims more pixels than Pillow accepts, needed at most "
            f"{maximum_side_px:,} px a side; shrink it"
        ) from None
    except Exception as error:  # a decoder answers damaged bytes with almost any exception
        raise FewShotError(f"damaged image ({_first(error)}); replace it") from None


def _is_upright(image: Image.Image) -> bool:
    """Whether EXIF asks for no turn, which spares a copy."""
    return bool(image.getexif().get(0x0112, 1) == 1)


def _rgb(image: Image.Image, file_format: str | None) -> Image.Image:
    from PIL import Image

    # Pillow scales deep PGM files to 16 bits, and calls them 32 bits deep.
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format == "PPM"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise FewShotError(
            f"found 32-bit grey levels (mode {image.mode}), needed 8 or 16 bits a channel"
        )
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layers = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    paper = Image.new("RGB", layers.size, "white")
    paper.paste(layers.convert("RGB"), mask=layers.getchannel("A"))
    return paper


# --- head files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Head:
    """The checked content of a head file.

    Attributes:
        meta: what stands in it for people and programs; `classes` are names, normalised.
        embeddings: `(image, dim)`, finite.
        labels: `(image,)`, places in `classes`.
    """

    meta: Mapping[str, Any]
    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]

    def refuse_other(self, sha256: str, path: Path) -> None:
        """Check that the encoder which embedded the images is the bundle's file of that name.

        Older heads do not say which it was.

        Raises:
            FewShotError: it is another.
        """
        found, name = self.meta.get("embedded_by_sha256"), self.meta["embedded_by"]
        if found not in (None, sha256):
            raise FewShotError(
                f"{path}: embedded by another {name} ({str(found)[:12]!r}), needed {sha256[:12]}; "
                "use the bundle that it was made with, or enroll the images again"
            )

    def pictures(self) -> dict[str, list[_Picture]]:
        """The images of each class."""
        names = self.meta["classes"]
        found: dict[str, list[_Picture]] = {name: [] for name in names}
        for label, row, source in zip(
            self.labels.tolist(), self.embeddings, self.meta["sources"], strict=True
        ):
            found[names[label]].append(_Picture(row, source))
        return found


def _read_head(path: Path, encoder_sha256: str, dim: int) -> _Head:
    """Read a head file; what it declares is checked before memory is taken for it.

    Raises:
        FewShotError: missing, damaged, too large, or made with another encoder.
    """
    try:
        with _opened_head(path) as file:
            _refuse_large_directory(file)
            with ZipFile(file) as archive:
                labels = _read_array(archive, "labels", "int64", 1, 8 * MAXIMUM_IMAGES)
                meta = _checked_meta(
                    _read_array(archive, "meta", "uint8", 1, _maximum_meta_bytes(labels)),
                    encoder_sha256,
                )
                embeddings = _read_array(archive, "embeddings", "float32", 2, 4 * len(labels) * dim)
        _check_rows(meta, embeddings, labels, dim)
    except FewShotError as fault:
        raise FewShotError(f"{path}: {fault}") from None
    except Exception as error:  # a reader answers damaged bytes with almost any exception
        raise FewShotError(
            f"{path}: damaged, or no head file ({_first(error)}); save it again"
        ) from None
    return _Head(meta, embeddings, labels)


def _opened_head(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise FewShotError("no head file here; `save` makes one") from None
    except (OSError, ValueError) as error:  # the latter of a path with a zero byte in it
        raise FewShotError(f"cannot be read: {_reason(error)}") from None


def _reason(error: OSError | ValueError | RuntimeError) -> str:
    return getattr(error, "strerror", None) or _first(error)


def _maximum_meta_bytes(labels: NDArray[np.int64]) -> int:
    """How long the meta of a head with these labels may be."""
    classes = min(MAXIMUM_CLASSES, max(0, 1 + int(labels.max()))) if len(labels) else 0
    return _META_BYTES + _META_BYTES_EACH * (classes + len(labels))


def _refuse_large_directory(file: IO[bytes]) -> None:
    """Check that an archive's list of contents is short: it is read into memory whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 42))
    end = file.read()
    file.seek(0)
    # The record at the end of an archive without a comment, and before it none of the large kind.
    if end[-22:-18] != b"PK\5\6" or end[:-22].startswith(b"PK\6\7"):
        raise FewShotError("found no plain .npz file, needed one that `save` wrote; save it again")
    if struct.unpack("<I", end[-10:-6])[0] > _MAXIMUM_ZIP_DIRECTORY_BYTES:
        raise FewShotError("found a long list of contents, needed three arrays; save it again")


def _read_array(
    archive: ZipFile, name: str, dtype: str, axes: int, maximum_bytes: int
) -> NDArray[Any]:
    """One array of a head file; nothing is unpacked before its declared size is found sound."""
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise FewShotError(f"found no array {name!r}; save the head again") from None
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise FewShotError(f"{name}: compressed otherwise than .npz files are; save it again")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if entry.file_size > maximum_bytes + _MAXIMUM_NPY_HEADER_BYTES or version != (1, 0):
            raise FewShotError(
                f"{name}: found {entry.file_size:,} bytes of .npy version {version}, needed at "
                f"most {maximum_bytes:,} of version (1, 0); save fewer images"
            )
        shape, by_column, found = np.lib.format.read_array_header_1_0(member)
        if found != np.dtype(dtype).newbyteorder("<") or len(shape) != axes or min(shape) < 0:
            raise FewShotError(
                f"{name}: found {found} {shape}, needed {dtype} of {axes} axes; save it again"
            )
        size = math.prod(shape) * found.itemsize
        if by_column or size != entry.file_size - member.tell():
            raise FewShotError(
                f"{name}: declares {shape}, {size:,} bytes, but holds "
                f"{entry.file_size - member.tell():,}; save the head again"
            )
        return np.frombuffer(member.read(size), found).reshape(shape)


def _checked_meta(content: NDArray[np.uint8], encoder_sha256: str) -> dict[str, Any]:
    meta = json.loads(content.tobytes().decode())
    if not isinstance(meta, dict) or (meta.get("format"), meta.get("kind")) != (
        HEAD_FORMAT,
        HEAD_KIND,
    ):
        raise FewShotError(f"found no head of format {HEAD_FORMAT}; save it again")
    if meta.get("encoder_sha256") != encoder_sha256:
        of = f"{meta.get('bundle')!r}, encoder {str(meta.get('encoder_sha256'))[:12]!r}"
        raise FewShotError(
            f"made with another encoder ({of}), needed {encoder_sha256[:12]}; use the bundle that "
            "it was made with, or enroll the images again"
        )
    embedded_by, names, sources = (meta.get(key) for key in ("embedded_by", "classes", "sources"))
    if not isinstance(embedded_by, str) or not (
        isinstance(names, list)
        and len(names) <= MAXIMUM_CLASSES
        and isinstance(sources, list)
        and all(isinstance(one, str) for one in sources)
    ):
        raise FewShotError(
            f"found no names and sources, or more than {MAXIMUM_CLASSES:,} classes; save it again"
        )
    kept = [_checked_name(name) for name in names]
    if len(set(kept)) != len(kept):
        raise FewShotError("found a class twice, needed each once; save it again")
    return {**meta, "classes": kept, "threshold": _checked_threshold(meta.get("threshold"))}


def _check_rows(
    meta: Mapping[str, Any],
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    dim: int,
) -> None:
    if embeddings.shape[1] != dim:
        raise FewShotError(
            f"found embeddings of {embeddings.shape[1]} numbers, needed {dim}; enroll the images "
            "again"
        )
    sizes = (len(embeddings), len(labels), len(meta["sources"]))
    if len(set(sizes)) != 1:
        raise FewShotError(
            f"found {sizes[0]} embeddings, {sizes[1]} labels and {sizes[2]} sources, needed as "
            "many of each; save it again"
        )
    way = len(meta["classes"])
    if len(labels) and not (labels.min() >= 0 and labels.max() < way):
        raise FewShotError(
            f"found labels from {labels.min()} to {labels.max()}, needed 0 to {way - 1}, places in "
            "the list of classes; save it again"
        )
    if not np.isfinite(embeddings).all():
        raise FewShotError("found embeddings that are no numbers; enroll the images again")


def _write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under another name, and give it its own when it is complete."""
    try:
        target = path.resolve()  # so that a link stays
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        partial = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.partial")
        try:
            with partial.open("wb") as file:
                if target.exists():
                    partial.chmod(stat.S_IMODE(target.stat().st_mode))
                write(file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError) as error:  # of a zero byte; of links in a circle
        raise FewShotError(f"{path}: cannot be written: {_reason(error)}") from None
