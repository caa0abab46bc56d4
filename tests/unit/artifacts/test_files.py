from pathlib import Path

import pytest

from tasks.artifacts.files import complete_folder, read_json, write_json, write_whole
from tasks.errors import DataError


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with complete_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_a_fault_leaves_what_stood_before(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with complete_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), complete_folder(target) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_new_folder_replaces_the_old_one_and_what_a_killed_writer_left(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for remains in (target, tmp_path / ".out.partial", tmp_path / ".out.replaced"):
        remains.mkdir()
        (remains / "old").touch()
    with complete_folder(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_whose_writer_was_killed_between_two_renames_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / ".out.replaced").mkdir()
    (tmp_path / ".out.replaced" / "a").write_text("old")
    with pytest.raises(RuntimeError), complete_folder(tmp_path / "out"):
        raise RuntimeError
    assert (tmp_path / "out" / "a").read_text() == "old"


def test_json_comes_back_and_faults_name_the_stage_to_run(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"name": "Ω <b>", "value": 0.1})
    assert read_json(path, "prepare") == {"name": "Ω <b>", "value": 0.1}
    path.write_text("{")
    with pytest.raises(DataError, match="damaged.*run stage prepare again"):
        read_json(path, "prepare")
    path.write_text("[]")
    with pytest.raises(DataError, match="found list"):
        read_json(path, "prepare")
    with pytest.raises(DataError, match="not found; stage pretrain makes it"):
        read_json(tmp_path / "none.json", "pretrain")


def test_a_text_file_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    write_whole(path, "one")
    write_whole(path, "two")
    assert path.read_text() == "two"
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half of it \ud800")
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]
