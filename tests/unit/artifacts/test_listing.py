from pathlib import Path

import pytest

from tasks.artifacts.listing import check_listing, write_listing
from tasks.errors import MovedInputsError
from tests.hostile import ODD_NAMES

ROWS = [(f"{name}/1.png", "00" * 32) for name in ODD_NAMES]


def test_what_was_listed_is_found_again_in_any_order_and_by_any_name(tmp_path: Path) -> None:
    path = tmp_path / "scan" / "listing.csv"
    write_listing(path, ROWS)
    before = path.read_bytes()
    check_listing(path, reversed(ROWS))
    write_listing(path, reversed(ROWS))
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["listing.csv"]


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_names_that_differ_by_the_kind_of_line_end_are_others(tmp_path: Path, end: str) -> None:
    path = tmp_path / "listing.csv"
    write_listing(path, [("carriage\rreturn.png", "00")])
    check_listing(path, [("carriage\rreturn.png", "00")])
    with pytest.raises(MovedInputsError, match="the images changed since"):
        check_listing(path, [(f"carriage{end}return.png", "00")])
