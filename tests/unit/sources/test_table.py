import csv
import io
import random
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.sources import parquet_rows
from tasks.sources.found import Found
from tasks.sources.table import arrange, is_table
from tests.memory_tree import MemoryTree, tree_of

TREE = tree_of("a.jpg", "b.jpg", "deep/c.jpg", "new\nline.jpg", 'quo"te,.jpg', "notes.txt")


def from_csv(text: str | bytes, tree: MemoryTree = TREE, name: str = "table.csv") -> Found:
    return arrange(tree, name, text if isinstance(text, bytes) else text.encode())


def parquet(columns: Mapping[str, Sequence[object]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def classes(found: Found) -> dict[str, str]:
    return {image.path: image.class_name for image in found.images}


def reasons(found: Found) -> dict[str, str]:
    return {one.path: one.reason for one in found.rejected}


def test_a_table_is_known_by_its_suffix() -> None:
    assert all(map(is_table, ("a.csv", "B.CSV", "x.tsv", "s3://bucket/t.Parquet")))
    assert not any(map(is_table, ("photos", "a.csv.zip", "csv")))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiter_mark_and_line_ends_are_found_out(delimiter: str, mark: str, end: str) -> None:
    rows = [["path", "label"], ["a.jpg", "cat"], ['quo"te,.jpg', "dog;"], ["new\nline.jpg", "owl"]]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(rows)
    found = from_csv(mark + file.getvalue())
    assert classes(found) == {"a.jpg": "cat", 'quo"te,.jpg': "dog;", "new\nline.jpg": "owl"}
    assert (found.rejected, found.lost, found.notes) == ([], 0, [])


def test_a_header_in_quotes_does_not_hide_the_delimiter() -> None:
    assert classes(from_csv('"path";"label"\n"a.jpg";"cat, big"\n')) == {"a.jpg": "cat, big"}


def test_group_and_split_are_read_and_other_columns_told() -> None:
    found = from_csv(
        " Label ,PATH,split,camera,group,site\n"
        "apple,a.jpg,novel,x,fruit,y\n"
        "apple,b.jpg,NOVEL,x,fruit,y\n"
        "cat,deep/c.jpg,,x,,y\n"
    )
    assert [(one.path, one.class_name, one.group, one.split) for one in found.images] == [
        ("deep/c.jpg", "cat", "", None),
        ("a.jpg", "fruit/apple", "fruit", "novel"),
        ("b.jpg", "fruit/apple", "fruit", "novel"),
    ]
    assert found.images[0].mark == "mark of deep/c.jpg"
    assert found.notes == ["columns that are not read: camera, site"]


def test_train_val_and_test_are_taken_for_splits_of_classes_and_told() -> None:
    found = from_csv("path,label,split\na.jpg,x,train\nb.jpg,y,valid\ndeep/c.jpg,z,test\n")
    assert {image.class_name: image.split for image in found.images} == {
        "x": "base",
        "y": "validation",
        "z": "novel",
    }
    assert found.notes == [
        "split test of the table is read as novel",
        "split train of the table is read as base",
        "split valid of the table is read as validation",
    ]


def test_an_unknown_split_is_told_with_its_line() -> None:
    with pytest.raises(DataError, match=r"table.csv, line 4: found split dev; needed one of base"):
        from_csv('path,label,split\na.jpg,"x\ny",base\nb.jpg,y,dev\n')


def test_a_class_in_two_splits_is_told_with_both_lines() -> None:
    with pytest.raises(DataError, match=r"line 3: class g/x has split base here and novel at line"):
        from_csv("path,label,split,group\na.jpg,x,novel,g\nb.jpg,x,base,g\n")
    with pytest.raises(DataError, match="class x has split none here and novel at line 2"):
        from_csv("path,label,split\na.jpg,x,novel\nb.jpg,x,\n")


def test_paths_begin_in_the_tables_folder_and_stay_below_it() -> None:
    outside = ["/a.jpg", "C:\\a.jpg", "\\\\host\\a.jpg", "s3://b/a.jpg", "../a.jpg", "deep/../../a"]
    rows = [*outside, "./b.jpg", "deep/../a.jpg", "deep//c.jpg", "deep/..", "a\0.jpg", " "]
    file = io.StringIO()
    csv.writer(file).writerows([["path", "label"], *([path, "x"] for path in rows)])
    found = from_csv(file.getvalue())
    assert [image.path for image in found.images] == ["a.jpg", "b.jpg", "deep/c.jpg"]
    absolute = "an absolute path; needed one that begins in the table's folder"
    out = "leads out of the table's folder"
    assert [reasons(found)[path] for path in outside] == [absolute] * 4 + [out] * 2
    assert reasons(found)["deep/.."] == reasons(found)["a\0.jpg"] == "names no file"
    assert reasons(found)[" "] == "no path"
    assert found.lost == 9


def test_a_row_without_its_image_is_an_image_lost() -> None:
    found = from_csv("path,label\na.jpg,x\ngone.jpg,y\nnotes.txt,y\n")
    assert [(one.class_name, one.path) for one in found.rejected] == [
        ("y", "gone.jpg"),
        ("y", "notes.txt"),
    ]
    assert found.lost == 2


def test_a_row_without_a_label_is_rejected() -> None:
    found = from_csv("path,label,extra\na.jpg,x,\nb.jpg, ,1\n\ndeep/c.jpg\n")
    assert reasons(found)["b.jpg"] == "no label"
    assert "line 5: found 1 fields, needed 3" in reasons(found)["deep/c.jpg"]
    assert found.lost == 2


def test_a_path_under_two_labels_is_used_under_none() -> None:
    found = from_csv("path,label\na.jpg,x\n./a.jpg,y\na.jpg,x\nb.jpg,z\n")
    assert classes(found) == {"b.jpg": "z"}
    assert [(one.class_name, one.path, one.reason) for one in found.rejected] == [
        ("x", "a.jpg", "named twice: again at line 4"),
        ("x", "a.jpg", "also under label y"),
        ("y", "a.jpg", "also under label x"),
    ]
    assert found.lost == 1


def test_a_row_that_stands_twice_is_used_once_and_is_no_loss() -> None:
    found = from_csv("path,label\na.jpg,x\nb.jpg,x\n./a.jpg,x\n")
    assert classes(found) == {"a.jpg": "x", "b.jpg": "x"}
    assert reasons(found) == {"a.jpg": "named twice: again at line 4"}
    assert found.lost == 0


def test_labels_are_text_and_hostile_ones_stay_apart() -> None:
    labels = ["007", "7", "<b>", 'q"', "l\nine", "x" * 300, "fruit/apple"]
    tree = tree_of(*(f"{n}.png" for n in range(9)))
    file = io.StringIO()
    rows = [[f"{n}.png", label, ""] for n, label in enumerate(labels)]
    csv.writer(file).writerows([["path", "label", "group"], *rows, ["8.png", "apple", "fruit"]])
    named = classes(from_csv(file.getvalue(), tree))
    assert [named[f"{n}.png"] for n in range(6)] == labels[:6]
    assert sorted([named["6.png"], named["8.png"]]) == ["fruit/apple", "fruit/apple (2)"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty; needed path and label"),
        (b"\xef\xbb\xbf\n\n", "empty; needed path and label"),
        (b"path,label\n", "0 rows, none names an image to use"),
        (b"path,label\ngone.jpg,x\n", "1 rows, none names an image to use; the first: gone.jpg:"),
        (b"file;class\na;b\n", "no column path and no column label among class, file; needed path"),
        (b"path;name\n", "no column label among name, path"),
        (b"path,label,Label\n", "found two columns label; needed one"),
        (b"path,label\na.jpg,caf\xe9\n", "line 2: not UTF-8; save it as UTF-8"),
        ("path,label\n".encode("utf-16"), "line 1: not UTF-8"),
        (b'path,label\na.jpg,"x"y\n', "line 2: not valid CSV"),
        (b'path,label\nb.jpg,x\na.jpg,"x\n', "line 3: not valid CSV: unexpected end of data"),
        (b"path,label\na.jpg," + b"x" * 200_000, "line 2: not valid CSV: field larger than"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_why(content: bytes, told: str) -> None:
    with pytest.raises(DataError) as caught:
        from_csv(content)
    assert told in str(caught.value)
    assert str(caught.value).startswith("table.csv") and str(caught.value).isprintable()


def test_parquet_is_read_with_numbers_and_gaps_as_text() -> None:
    content = parquet(
        {
            "path": ["a.jpg", "b.jpg", "deep/c.jpg", "new\nline.jpg"],
            "label": pa.array([3.0, None, float("nan"), 4.0]),
            "group": pa.array([1, 1, 2, 2]),
            "extra": [[1], [2], [3], [4]],
        }
    )
    found = arrange(TREE, "t.PARQUET", content)
    assert classes(found) == {"a.jpg": "1/3", "new\nline.jpg": "2/4"}
    assert reasons(found) == {"b.jpg": "no label", "deep/c.jpg": "no label"}
    assert found.notes == ["columns that are not read: extra"]


def test_parquet_reads_categories_and_paths_that_are_no_text() -> None:
    tree = tree_of(b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
    columns = {"path": [b"caf\xe9.jpg"], "label": pa.array(["x"]).dictionary_encode()}
    assert [one.class_name for one in arrange(tree, "t.parquet", parquet(columns)).images] == ["x"]


def test_a_split_in_parquet_is_told_with_its_row() -> None:
    columns = {"path": ["a.jpg", "b.jpg"], "label": ["x", "y"], "split": ["base", "dev"]}
    with pytest.raises(DataError, match="t.parquet, row 2: found split dev"):
        arrange(TREE, "t.parquet", parquet(columns))


def test_parquet_that_cannot_be_read_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    good = parquet({"path": ["a.jpg"], "label": ["x"]})
    for damaged in (b"", b"PAR1", good[:-20], good[20:]):
        with pytest.raises(DataError, match="t.parquet: damaged Parquet"):
            arrange(TREE, "t.parquet", damaged)
    with pytest.raises(DataError, match="no column label among path"):
        arrange(TREE, "t.parquet", parquet({"path": ["a.jpg"]}))
    with pytest.raises(DataError, match="column label holds lists or records; needed text"):
        arrange(TREE, "t.parquet", parquet({"path": ["a.jpg"], "label": [["x"]]}))
    with pytest.raises(DataError, match="0 rows"):
        arrange(TREE, "t.parquet", parquet({"path": pa.array([], pa.string()), "label": []}))
    repeated = pa.array(["x" * 200_000] * 3).dictionary_encode()
    with pytest.raises(DataError, match="a text of 200,000 bytes"):
        arrange(TREE, "t.parquet", parquet({"path": repeated, "label": ["x"] * 3}))
    monkeypatch.setattr(parquet_rows, "MAXIMUM_TABLE_BYTES", 1000)
    same = pa.array(["x" * 100] * 100).dictionary_encode()
    with pytest.raises(DataError, match="needed a smaller table"):
        arrange(TREE, "t.parquet", parquet({"path": same, "label": ["x"] * 100}))


FIELDS = st.text(alphabet=st.sampled_from("ab,;\t\"'\n\r x./\\éß0"), max_size=8)
VALID = b"path,label,group,split\na.jpg,x,g,base\nb.jpg,y,,novel\ndeep/c.jpg,z,,\n"
VALID_PARQUET = parquet({"path": ["a.jpg", "b.jpg"], "label": ["x", "y"], "split": ["base"] * 2})


def mutated(content: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed))
        if rng.random() < 0.5:
            changed[place] = (
                rng.choice(b'",;\t\n\r\0\xff\xc3ab') if rng.random() < 0.7 else rng.randrange(256)
            )
        elif rng.random() < 0.5:
            del changed[place : place + rng.randint(1, 20)]
        else:
            changed[place:place] = changed[place : place + rng.randint(1, 20)]
        changed = changed or bytearray(b"x")
    return bytes(changed)


def arrange_or_refuse(name: str, content: bytes) -> None:
    try:
        found = arrange(TREE, name, content)
    except DataError as error:
        assert str(error).isprintable()
    else:
        assert found.images
        for image in found.images:
            assert image.path in TREE.files and image.class_name
        assert len({image.path for image in found.images}) == len(found.images)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.integers(0, 10**9).map(lambda n: mutated(VALID, n))))
def test_whatever_the_bytes_a_csv_gives_images_or_a_data_error(content: bytes) -> None:
    arrange_or_refuse("t.csv", content)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9).map(lambda n: mutated(VALID_PARQUET, n)))
def test_whatever_the_bytes_a_parquet_gives_images_or_a_data_error(content: bytes) -> None:
    arrange_or_refuse("t.parquet", content)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=6), st.sampled_from(",;\t"))
def test_what_python_writes_as_csv_is_read_row_by_row(
    rows: list[tuple[str, str]], delimiter: str
) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([("path", "label"), *rows, ("a.jpg", "z")])
    try:
        found = from_csv(file.getvalue())
    except DataError as error:
        assert "none names an image" in str(error)
        return
    assert len(found.images) + len(found.rejected) == len(rows) + 1
