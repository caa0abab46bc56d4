"""A folder in which nearly everything that can be wrong with images is wrong, made on the spot."""

import os
import socket
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bomb import png_header

ODD_NAMES = (
    "new\nline", "tab\there", 'quo"te', "apo'strophe", "<img src=x onerror=alert(1)>", "a,b;c",
    "$math$ $\\frac", "%s %(x)s {0}", "日本語", "עברית", "🍎", "e\u0301", "é", "CASE", "case",
    " leading", "trailing ", "\u202eRTL", "x" * 255, "-rf", "~", "a\\b",
    "CON", "\x07bell", "\u200b", "carriage\rreturn", "=1+1", "| pipe |", "# head", "& amp;",
)  # fmt: skip


MAY_BE_SOUND = ("flipped", "chunk lies", "many scans", "cut")  # as far as a decoder can know


def picture(seed: int, side: int = 40, mode: str = "RGB") -> Image.Image:
    """A small picture that is like no other of another seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).convert(mode)


def encoded(seed: int, form: str = "PNG", **options: object) -> bytes:
    """The same as the bytes of a file."""
    file = BytesIO()
    picture(seed).save(file, form, **options)
    return file.getvalue()


def damaged_files() -> dict[str, bytes]:
    """File name -> content of images that cannot be used."""
    png, jpeg = encoded(1), encoded(2, "JPEG")
    files = {
        "empty.png": b"",
        "one byte.jpg": b"\xff",
        "text.png": b"hello",
        "html.jpg": b"<html><body>404 not found</body></html>",
        "blank.png": _bytes(Image.new("RGB", (64, 64), "grey"), "PNG"),
        "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "bomb.png": png_header(50_000, 50_000),
        "wide bomb.png": png_header(2_000_000_000, 1),
        "zero wide.png": png_header(0, 10),
        "float.tif": _bytes(Image.new("F", (9, 9)), "TIFF"),
        "animated.webp": _animation("WEBP"),
        "animated.png": _animation("PNG"),
        "pages.tif": _animation("TIFF"),
        "executable.jpg": b"\x7fELF" + bytes(200),
        "zip.jpg": b"PK\x03\x04" + bytes(200),
        "chunk lies.png": png[:33] + struct.pack(">I", 0x7FFFFFFF) + png[37:],
        "many scans.jpg": jpeg[:200] + jpeg[150:200] * 500,
        "inflate.png": _inflating_png(),
    }
    for number in range(1, 12):
        files[f"cut {number}.png"] = png[: len(png) * number // 12]
        files[f"cut {number}.jpg"] = jpeg[: len(jpeg) * number // 13]
    for number in range(20):
        content = bytearray(png)
        rng = np.random.default_rng(number)
        for at in rng.integers(20, len(content), 30):
            content[at] ^= int(rng.integers(1, 256))
        files[f"flipped {number}.png"] = bytes(content)
    return files


def write_hostile(root: Path) -> set[str]:
    """Make the folder; returns printable parts of names that must be told as not used.

    There are ten sound classes among it, so that a run has something to go on with.
    """
    for index in range(12):
        folder = root / f"sound {index}"
        folder.mkdir(parents=True)
        for number in range(24):
            (folder / f"{number}.png").write_bytes(encoded(1_000 + 100 * index + number))
    for index, name in enumerate(ODD_NAMES):
        folder = root / name
        folder.mkdir(exist_ok=True)
        for number in range(24):
            (folder / f"{number}.png").write_bytes(encoded(10_000 + 100 * index + number))
    odd = root / "odd files"
    odd.mkdir()
    for index, name in enumerate(ODD_NAMES):
        file = f"{name[:251]}.png"
        (odd / file).write_bytes(encoded(20_000 + index))
    told = set()
    bad = root / "bad files"
    bad.mkdir()
    for name, content in damaged_files().items():
        (bad / name).write_bytes(content)
        if not name.startswith(MAY_BE_SOUND):
            told.add(name)
    told |= _special_files(root)
    for index in range(70):
        (root / f"hollow {index}").mkdir()
    _write_doubles(root)
    told |= {f"hollow {index}" for index in range(70)}
    return told | {"copy.png", "label one.png", "label two.png"}


def _special_files(root: Path) -> set[str]:
    special = root / "special"
    special.mkdir()
    for number in range(24):
        (special / f"{number}.png").write_bytes(encoded(30_000 + number))
    os.mkfifo(special / "pipe.png")
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(special)  # the path of a socket may not be long
    try:
        server.bind("socket.png")
    finally:
        os.chdir(here)
        server.close()
    (special / "broken link.png").symlink_to("nowhere.png")
    (special / "outside link.png").symlink_to("/etc/hostname")
    (special / "outside folder").symlink_to("/etc", target_is_directory=True)
    (special / "circle").symlink_to("..", target_is_directory=True)
    (special / "self.png").symlink_to("self.png")
    (special / "device.png").symlink_to("/dev/zero")
    Path(os.fsdecode(os.fsencode(special) + b"/\xff\xfe.png")).write_bytes(b"no")
    (special / "notes.txt").write_text("not an image, and not meant as one")
    (special / "Thumbs.db").write_bytes(b"litter")
    return {
        "pipe.png", "socket.png", "broken link.png", "outside link.png", "outside folder",
        "circle", "self.png", "device.png", "\\xff\\xfe.png", "notes.txt",
    }  # fmt: skip


def _write_doubles(root: Path) -> None:
    same = encoded(40_000)
    (root / "sound 0" / "copy.png").write_bytes((root / "sound 0" / "0.png").read_bytes())
    (root / "sound 1" / "label one.png").write_bytes(same)
    (root / "sound 2" / "label two.png").write_bytes(same)


def _bytes(image: Image.Image, form: str) -> bytes:
    file = BytesIO()
    image.save(file, form)
    return file.getvalue()


def _animation(form: str) -> bytes:
    file = BytesIO()
    frames = [picture(seed) for seed in (1, 2, 3)]
    frames[0].save(file, form, save_all=True, append_images=frames[1:])
    return file.getvalue()


def _inflating_png() -> bytes:
    """A PNG of a modest size whose pixel data unpack to far more than it has room for."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(50_000_000), 9)
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000), 9))
    parts = chunk(b"IHDR", header) + text + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
