"""The sentence that a report begins with."""

import pytest

from tasks.evaluate.report import headline

Until = dict[str, int | None]


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ({"steps": 0, "low": 0, "high": 3}, "reaches that after 0 steps (95 % interval 0 to 3);"),
        ({"steps": 1, "low": 1, "high": None}, "that after 1 step (95 % interval 1 to never);"),
        (
            {"steps": None, "low": 2, "high": None},
            "that within 50 (95 % interval from 2);",
        ),
        (
            {"steps": None, "low": None, "high": None},
            "does not reach that within 50; transfer",
        ),
    ],
)
def test_it_says_after_how_many_steps_meta_is_where_transfer_ends(until: Until, told: str) -> None:
    never: Until = {"steps": None, "low": None, "high": None}
    starts = {"meta": until, "transfer": {"steps": 50, "low": 50, "high": 50}}
    starts["transfer_from_prototypes"] = never
    curve = {
        "domain": "novel",
        "way": 5,
        "shot": 1,
        "target": 0.75,
        "steps": [0, 10, 50],
        "starts": {name: {"steps_until_target": one} for name, one in starts.items()},
    }
    found = headline({"adaptation_curves": {"one": curve}})
    assert "transfer alone stands at 75.00 % after 50 gradient steps. Transfer + meta" in found
    assert told in found
    assert found.endswith("no meta-training either, does not reach that within 50.")


def test_without_curves_there_is_none() -> None:
    assert headline({"adaptation_curves": {}}) == ""
