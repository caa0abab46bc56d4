"""An archive is listed and read where it lies, and no archive costs more than it may."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.trees import archive_members, inflating, tree
from tasks.trees.archive_tree import ArchiveTree
from tasks.trees.open_tree import open_tree
from tasks.trees.tree import Leaf, Refusal

FILES = {f"class {index % 3}/{index}.png": bytes([index]) * (index * 97) for index in range(1, 40)}
TARS = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
ALL = ["zip", *TARS]


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w", **options: int) -> Path:
    with tarfile.open(path, mode, **options) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def packed(folder: Path, kind: str, files: dict[str, bytes]) -> Path:
    path = folder / f"images.{kind}"
    return zipped(path, files) if kind == "zip" else tarred(path, files, TARS[kind])


def refusals(path: Path) -> dict[str, Refusal]:
    return {one.path: one for one in ArchiveTree(path).walk() if isinstance(one, Refusal)}


def leaves(path: Path) -> list[str]:
    return [one.path for one in ArchiveTree(path).walk() if isinstance(one, Leaf)]


def refused(path: Path) -> str:
    """The one line with which a whole archive is refused."""
    with pytest.raises(DataError) as caught:
        list(ArchiveTree(path).walk())
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# What every kind of archive has in common.


@pytest.mark.parametrize("kind", ALL)
def test_an_archive_gives_what_was_packed(tmp_path: Path, kind: str) -> None:
    archive = open_tree(str(packed(tmp_path, kind, FILES)))
    found = list(archive.walk())
    assert [(one.path, one.size_bytes) for one in found if isinstance(one, Leaf)] == [
        (name, len(content)) for name, content in FILES.items()
    ]
    assert list(archive.read(list(FILES))) == list(FILES.values())
    assert list(archive.stat(list(FILES))) == found == list(archive.walk())
    assert archive.sequential == ("." in kind)


@pytest.mark.parametrize("kind", ALL)
def test_the_name_of_an_archive_does_not_matter(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind, FILES).rename(tmp_path / "download.png")
    assert leaves(path) == list(FILES)


@pytest.mark.parametrize("kind", ALL)
def test_any_order_reads_the_same(tmp_path: Path, kind: str) -> None:
    archive = ArchiveTree(packed(tmp_path, kind, FILES))
    names = list(FILES)[::-1] + list(FILES)[5:9] * 2
    assert list(archive.read(names)) == [FILES[name] for name in names]


@pytest.mark.parametrize("kind", ALL)
def test_a_copy_in_another_process_goes_on_without_listing_again(tmp_path: Path, kind: str) -> None:
    archive = ArchiveTree(packed(tmp_path, kind, FILES))
    list(archive.walk())
    list(archive.read(["class 1/1.png"]))
    copy = pickle.loads(pickle.dumps(archive))
    copy.walk = None
    assert list(copy.read(list(FILES))) == list(FILES.values())


def test_a_copy_tells_when_the_archive_is_another_one_by_now(tmp_path: Path) -> None:
    archive = ArchiveTree(packed(tmp_path, "tar", FILES))
    list(archive.walk())
    copy = pickle.dumps(archive)
    packed(tmp_path, "tar", {"a.png": b"other"})
    with pytest.raises(DataError, match="changed while it was read"):
        list(pickle.loads(copy).read(["class 1/1.png"]))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_several_threads_read_one_archive(tmp_path: Path, kind: str) -> None:
    archive = ArchiveTree(packed(tmp_path, kind, FILES))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            contents = pool.map(lambda name: next(archive.read([name])), FILES)
            assert list(contents) == list(FILES.values())


def test_a_packed_tar_is_unpacked_once_however_it_is_cut_into_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = ArchiveTree(packed(tmp_path, "tar.gz", FILES))
    list(archive.walk())
    rewinds = []
    rewind = inflating.Inflating._rewind

    def counted(self: inflating.Inflating) -> None:
        rewinds.append(1)
        rewind(self)

    monkeypatch.setattr(inflating.Inflating, "_rewind", counted)
    names = [name for name in FILES for _ in range(4)]  # as for images that are turned as well
    for start in range(0, len(names), 7):
        chunk = names[start : start + 7]
        assert list(archive.read(chunk)) == [FILES[name] for name in chunk]
    assert len(rewinds) == 1


@pytest.mark.parametrize("kind", ALL)
def test_names_are_made_plain_and_those_that_lead_out_are_refused(
    tmp_path: Path, kind: str
) -> None:
    out = ["/etc/a.png", "../a.png", "b/../../a.png", "C:/a.png", "c:a.png", "b/../c.png"]
    path = packed(tmp_path, kind, dict.fromkeys(("./a/b.png", "a//c.png", *out), b"x"))
    assert leaves(path) == ["a/b.png", "a/c.png"]
    found = refusals(path)
    assert set(found) == set(out)
    assert all("leads out of the archive" in one.reason for one in found.values())
    assert all(isinstance(one, Refusal) for one in ArchiveTree(path).read(out))


def test_backslashes_are_no_separators(tmp_path: Path) -> None:
    path = tmp_path / "odd.zip"
    zipped(path, {"a/b.png": b"x"})
    path.write_bytes(path.read_bytes().replace(b"a/b.png", b"a\\b.png"))
    assert "leads out" in refusals(path)["a\\b.png"].reason


@pytest.mark.parametrize("kind", ALL)
def test_what_is_no_image_is_refused_and_litter_is_passed_over(tmp_path: Path, kind: str) -> None:
    path = packed(
        tmp_path,
        kind,
        {
            "a.txt": b"x",
            "inner.zip": b"x",
            "empty.png": b"",
            "__MACOSX/._a.png": b"x",
            "a/.DS_Store": b"x",
            "a/b.png": b"x",
        },
    )
    assert leaves(path) == ["a/b.png"]
    found = refusals(path)
    assert set(found) == {"a.txt", "inner.zip", "empty.png"}
    assert [found[name].counts for name in ("a.txt", "inner.zip", "empty.png")] == [0, 0, 1]
    archive = ArchiveTree(path)
    asked = ["a.txt", "none.png", "a/.DS_Store", "../a.png"]
    assert [one.reason[:8] for one in archive.stat(asked)] == [
        one.reason[:8] for one in archive.read(asked)
    ]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_files_of_one_name_the_second_is_refused(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind, {"a.png": b"first", "./a.png": b"second"})
    archive = ArchiveTree(path)
    first, second = archive.walk()
    assert isinstance(first, Leaf)
    assert second == Refusal("a.png", "a second file of this name")
    assert list(archive.read(["a.png"])) == [b"first"]


@pytest.mark.parametrize("kind", ALL)
def test_a_file_that_is_too_large_is_refused_alone(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAXIMUM_FILE_BYTES", 10)
    path = packed(tmp_path, kind, {"a.png": b"x" * 11, "b.png": b"x"})
    assert leaves(path) == ["b.png"]
    assert "found 11 bytes" in refusals(path)["a.png"].reason


@pytest.mark.parametrize("kind", ALL)
def test_an_archive_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    content = packed(tmp_path, kind, FILES).read_bytes()
    ends = {len(content) // 3, len(content) * 2 // 3, 700, len(content) - 20}
    if kind == "tar":
        ends = {end // 512 * 512 for end in ends} - {len(content) // 512 * 512} | {700}
        ends = {end for end in ends if content[end : end + 512].strip(b"\0")}
    for end in ends:
        path = tmp_path / "cut"
        path.write_bytes(content[:end])
        assert "cut short" in refused(path) or "damaged" in refused(path)


@pytest.mark.parametrize("kind", ALL)
def test_too_many_members_refuse_the_archive(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_members, "MAXIMUM_FILES", 30)
    assert "more than 30 members" in refused(packed(tmp_path, kind, FILES))


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_too_much_in_all_refuses_the_archive(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path, kind, {f"{index}.png": bytes(50_000) for index in range(40)})
    assert len(leaves(path)) == 40
    monkeypatch.setattr(archive_members, "RATIO_COUNTS_FROM_BYTES", 1_000_000)
    assert "as bombs do; needed at most 200 to 1" in refused(path)
    monkeypatch.setattr(archive_members, "MAXIMUM_TOTAL_BYTES", 900_000)
    assert "needed at most 900,000" in refused(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"path,label\n" * 100, "no archive"),
        (b"<html>" * 100, "a text or a web page"),
        (b"7z\xbc\xaf\x27\x1c" * 100, "a 7z archive"),
        (b"PK\3\4" * 300, "cut short"),
        (gzip.compress(b"path,label\n" * 100, mtime=0), "no tar, but something else"),
        (gzip.compress(b"", mtime=0), "cut short"),
        (bz2.compress(b"a"), "cut short"),
        (b"\x1f\x8b" * 300, "damaged"),
    ],
)
def test_what_is_no_archive_is_said_in_one_line(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(content)
    assert found in refused(path)


def test_an_archive_without_files_is_empty(tmp_path: Path) -> None:
    for kind in ALL:
        assert list(ArchiveTree(packed(tmp_path, kind, {})).walk()) == []


# Zip.


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_the_usual_methods_of_zip_are_read(tmp_path: Path, method: int) -> None:
    archive = ArchiveTree(zipped(tmp_path / "a.zip", FILES, method))
    assert list(archive.read(list(FILES))) == list(FILES.values())


def test_other_methods_of_zip_are_refused_by_name(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"x"}, zipfile.ZIP_LZMA)
    assert "packed by method 14" in refusals(path)["a.png"].reason


def test_zip64_and_bytes_before_and_after_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
        archive.comment = b"a comment"
    path.write_bytes(b"#!/bin/sh\n" * 60 + path.read_bytes())
    assert list(ArchiveTree(path).read(list(FILES))) == list(FILES.values())


def test_sizes_and_offsets_of_64_bits_are_read(tmp_path: Path) -> None:
    """As a zip of more than 4 GiB has them: all three in the extra field, and a directory 64."""
    content = b"image"
    crc = zlib.crc32(content)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, crc, 5, 5, 5, 0) + b"a.png"
    wide = struct.pack("<HH3Q", 1, 24, 5, 5, 0)
    sizes = (0xFFFFFFFF, 0xFFFFFFFF, 5, len(wide), 0, 0, 0, 0, 0xFFFFFFFF)
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, crc, *sizes)
    directory = entry + b"a.png" + wide
    start = len(local + content)
    end_64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(directory), start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + len(directory), 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path = tmp_path / "a.zip"
    path.write_bytes(local + content + directory + end_64 + locator + end)
    assert zipfile.ZipFile(path).read("a.png") == content
    assert list(ArchiveTree(path).read(["a.png"])) == [content]


@pytest.mark.parametrize("name", ["é/日本.png", "caf\udcff.png"])
def test_names_of_zip_are_utf_8_flag_or_not(tmp_path: Path, name: str) -> None:
    raw = name.encode("utf-8", "surrogateescape")
    path = zipped(tmp_path / "a.zip", {"x" * len(raw): b"x"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    expected = raw.decode("cp437") if "\udcff" in name else name
    assert leaves(path) == [expected]


def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("link.png", 0o120777), ("device.png", 0o020666)):
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, "/etc/passwd")
    found = refusals(path)
    assert found["link.png"].reason == "a link"
    assert found["device.png"].reason == "neither file nor folder"
    assert all(one.counts for one in found.values())


def patched(path: Path, offset: int, value: bytes) -> None:
    """Write over one field of the directory's first entry."""
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2") + offset
    content[at : at + len(value)] = value
    path.write_bytes(content)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"x", "b.png": b"x"})
    patched(path, 8, b"\x01\x00")
    assert "encrypted" in refusals(path)["a.png"].reason
    assert leaves(path) == ["b.png"]


@pytest.mark.parametrize("claimed", [0x10, 0xFFFF])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_size_that_lies_is_never_passed(tmp_path: Path, claimed: int, method: int) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"x" * 1000, "b.png": b"good"}, method)
    patched(path, 24, struct.pack("<I", claimed))
    archive = ArchiveTree(path)
    bad, good = archive.read(["a.png", "b.png"])
    assert isinstance(bad, Refusal)
    assert f"{claimed:,} bytes it claims" in bad.reason
    assert good == b"good"


def test_a_bad_checksum_is_refused_when_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"content", "b.png": b"good"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"CONTENT"))
    bad, good = ArchiveTree(path).read(["a.png", "b.png"])
    assert isinstance(bad, Refusal)
    assert "checksum" in bad.reason
    assert good == b"good"


def test_damaged_deflate_is_refused_when_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": bytes(range(256)) * 8})
    content = bytearray(path.read_bytes())
    content[40:80] = b"\xff" * 40
    path.write_bytes(content)
    (bad,) = ArchiveTree(path).read(["a.png"])
    assert isinstance(bad, Refusal)
    assert "damaged" in bad.reason


def test_a_member_that_unpacks_a_thousandfold_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"bomb.png": bytes(17 * 2**20), "a.png": b"x"})
    assert "as bombs do" in refusals(path)["bomb.png"].reason
    assert leaves(path) == ["a.png"]


def test_a_size_beyond_reason_costs_nothing(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"x" * 1000, "b.png": b"x"})
    patched(path, 24, struct.pack("<I", 0xFFFFFFFE))
    assert leaves(path) == ["b.png"]


def test_members_that_share_bytes_refuse_the_archive(tmp_path: Path) -> None:
    """As in the bombs that quote one kernel a thousand times."""
    path = zipped(tmp_path / "a.zip", {"a.png": bytes(5000), "b.png": bytes(5000)})
    content = path.read_bytes()
    second = content.rindex(b"PK\1\2")
    path.write_bytes(content[: second + 42] + bytes(4) + content[second + 46 :])
    assert "1 members that lie over the next one" in refused(path)


def test_a_member_beyond_the_directory_refuses_the_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"x"})
    patched(path, 42, struct.pack("<I", 0xFFFFFF))
    assert "beyond" in refused(path)


# Tar.


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    kinds = {
        "link.png": (tarfile.SYMTYPE, "a link"),
        "hard.png": (tarfile.LNKTYPE, "a hard link"),
        "pipe.png": (tarfile.FIFOTYPE, "a pipe"),
        "device.png": (tarfile.CHRTYPE, "a device"),
        "other.png": (b"Z", "neither file"),
    }
    for mode in TARS.values():
        path = tmp_path / "a.tar"
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for name, (kind, _) in kinds.items():
                member = tarfile.TarInfo(name)
                member.type = kind
                member.linkname = "/etc/passwd"
                archive.addfile(member)
        found = refusals(path)
        assert set(found) == set(kinds)
        assert all(found[name].reason.startswith(reason) for name, (_, reason) in kinds.items())


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_in_every_format(tmp_path: Path, form: int) -> None:
    name = f"{'d' * 90}/{'n' * 90}.png"
    names = {name: b"1"}
    if form != tarfile.USTAR_FORMAT:
        names |= {f"{'e' * 300}/{'n' * 300}.png": b"2", "bytes \udcff é.png": b"3"}
    archive = ArchiveTree(tarred(tmp_path / "a.tar", names, format=form))
    assert list(archive.read(list(names))) == list(names.values())
    assert [one.path for one in archive.walk()] == list(names)


def with_header(name: str, kind: bytes, size: int, content: bytes = b"") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    padded = content + bytes(-len(content) % 512)
    return member.tobuf(tarfile.GNU_FORMAT) + padded


def test_a_header_as_large_as_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        path.write_bytes(gzip.compress(with_header("x", kind, 2**33) + bytes(2**20)))
        assert "found a header of 8,589,934,592 bytes" in refused(path)


def test_a_negative_size_is_not_walked_for_ever(tmp_path: Path) -> None:
    header = bytearray(with_header("a.png", tarfile.REGTYPE, 0))
    header[124:136] = b"\xff" * 11 + b"\x00"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "a.tar"
    good = with_header("b.png", tarfile.REGTYPE, 1, b"x")
    path.write_bytes(good + bytes(header) + bytes(1024))
    assert "damaged" in refused(path)


@pytest.mark.parametrize("records", [b"9" * 500, b"0 size=1\n", b"12 size=-99\n", b"11 size=x9\n"])
def test_extended_headers_that_lie_are_refused(tmp_path: Path, records: bytes) -> None:
    path = tmp_path / "a.tar"
    header = with_header("x", tarfile.XHDTYPE, len(records), records)
    path.write_bytes(header + with_header("a.png", tarfile.REGTYPE, 1, b"x") + bytes(1024))
    assert "extended header" in refused(path)


def test_a_long_chain_of_headers_is_walked_without_recursion(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    chain = with_header("x", tarfile.GNUTYPE_LONGNAME, 6, b"b.png\0") * 3_000
    path.write_bytes(chain + with_header("a.png", tarfile.REGTYPE, 1, b"x") + bytes(1024))
    assert leaves(path) == ["b.png"]


def test_files_with_holes_are_refused(tmp_path: Path) -> None:
    header = bytearray(with_header("a.png", tarfile.GNUTYPE_SPARSE, 512, b""))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    rest = bytes(512) + b"x" * 512 + with_header("b.png", tarfile.REGTYPE, 1, b"x") + bytes(1024)
    for pack in (bytes, gzip.compress):
        path = tmp_path / "a.tar"
        path.write_bytes(pack(bytes(header) + rest))
        assert "holes" in refusals(path)["a.png"].reason
        assert leaves(path) == ["b.png"]


def test_the_checksum_at_the_end_of_a_packed_tar_is_looked_at(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar.gz", {"a.png": b"content"}, "w:gz", compresslevel=0)
    path.write_bytes(path.read_bytes().replace(b"content", b"CONTENT"))
    assert "damaged" in refused(path)


def test_streams_one_after_the_other_are_one_tar(tmp_path: Path) -> None:
    plain = tarred(tmp_path / "a.tar", FILES).read_bytes()
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        path = tmp_path / "b.tar"
        parts = (pack(plain[at : at + 9_999]) for at in range(0, len(plain), 9_999))
        path.write_bytes(b"".join(parts))
        assert list(ArchiveTree(path).read(list(FILES))) == list(FILES.values())


@pytest.mark.timeout(60)  # it hangs where this is broken
def test_countless_streams_of_nothing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(b"") * 200_000)
    assert "streams of next to nothing" in refused(path)


def test_a_packed_tar_that_never_ends_is_refused_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ratio begins to count is lowered, to keep the test quick."""
    monkeypatch.setattr(archive_members, "RATIO_COUNTS_FROM_BYTES", 2**22)
    bomb = with_header("a.png", tarfile.REGTYPE, 2**40) + bytes(40 * 2**20)
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        path = tmp_path / "bomb"
        path.write_bytes(pack(bomb))
        tracemalloc.start()
        message = refused(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert "as bombs do" in message
        assert int(message.split("unpacks to ")[1].split()[0].replace(",", "")) < 10 * 2**20
        assert peak < 10 * 2**20  # of which xz's dictionary is 8


def test_reading_never_unpacks_more_than_a_member_claims(tmp_path: Path) -> None:
    """Zeros without end behind a claim of a thousand bytes."""
    for method, decoder in ((8, zlib.compressobj(9, wbits=-15)), (12, bz2.BZ2Compressor())):
        path = zipped(tmp_path / "a.zip", {"a.png": b"x" * 1000})
        packed = b"".join(decoder.compress(bytes(2**20)) for _ in range(32)) + decoder.flush()
        entry = path.read_bytes()
        directory = bytearray(entry[entry.index(b"PK\1\2") : entry.rindex(b"PK\5\6")])
        directory[10:12] = struct.pack("<H", method)
        directory[20:24] = struct.pack("<I", len(packed))
        start = 30 + len("a.png") + len(packed)
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), start, 0)
        path.write_bytes(entry[:35] + packed + directory + end)
        tracemalloc.start()
        (content,) = ArchiveTree(path).read(["a.png"])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(content, Refusal)
        assert "more than the 1,000 bytes it claims" in content.reason
        assert peak < 8 * 2**20


# Anything at all.


def read_all(path: Path) -> None:
    """Everything that can be asked of an archive; nothing but a DataError may come of it."""
    try:
        archive = ArchiveTree(path)
        paths = [one.path for one in archive.walk()]
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert all(isinstance(one, bytes | Refusal) for one in archive.read(paths))
    assert all(isinstance(one, Leaf | Refusal) for one in archive.stat(paths))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12
    ),
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damage_is_a_refusal_or_one_line(
    kind: str, changes: list[tuple[float, int]], cut: float, tmp_path: Path
) -> None:
    original = tmp_path / "original"
    if not original.exists():
        files = dict(list(FILES.items())[:4]) | {"é" * 60 + ".png": b"x"}
        packed(tmp_path, kind, files).rename(original)
    content = bytearray(original.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    path = tmp_path / "damaged"
    path.write_bytes(content[: int(cut * len(content))])
    read_all(path)
