"""`python -m tests.faults.table ROWS`: the rows of a series as the table of docs/reliability.md."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- begin: kills -->\n", "<!-- end: kills -->"
HEAD = "| killed | faults | that run went on to its end | the next run did | recovered | lost |"


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines of Markdown: one for each target and pair, then the sum."""
    yield HEAD
    yield "|---|---|---|---|---|---|"
    struck = [row for row in rows if "recovered" in row]
    for targets in sorted(
        {tuple(row["targets"]) for row in struck}, key=lambda one: (len(one), one)
    ):
        yield line(" + ".join(targets), [row for row in struck if tuple(row["targets"]) == targets])
    yield line("**all**", struck)
    if others := len(rows) - len(struck):
        yield ""
        yield f"{others} more were drawn and did not come about; the rows say why."


def line(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """One line of the table."""
    went_on = sum(row.get("outcome") in ("completed", "exit 0") for row in rows)
    recovered = sum(row["recovered"] for row in rows)
    lost = sum(row["lost_bytes"] for row in rows)
    cells = (name, len(rows), went_on, len(rows) - went_on, recovered, f"{lost} bytes")
    return f"| {' | '.join(map(str, cells))} |"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a series, in the order of their numbers."""
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return sorted(rows, key=lambda row: int(row["number"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md")
    options = parser.parse_args()
    lines = "\n".join(table(read_rows(options.rows))) + "\n"
    print(lines, end="")
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + lines + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
