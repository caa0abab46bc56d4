"""What lets a candidate pass, and what does not."""

from pathlib import Path

import pytest

from flows.comparing import Compared
from flows.release_gate import Gate, load_gate, unmet
from tasks.errors import ParametersError
from tasks.statistics import Estimate

ROOT = Path(__file__).parents[3]


def compared(key: str, mean: float, interval95: float = 0.0, domain: str = "novel") -> Compared:
    there = Estimate(0.9, 0.01)
    gain = Estimate(mean, interval95)
    return Compared(key, key.replace("_", " "), domain, 600, there, there, gain)


def first(key: str) -> Compared:
    return Compared(key, key, "novel", 600, Estimate(0.9, 0.01), None, None)


@pytest.mark.parametrize(
    ("mean", "interval95", "passes"),
    [
        (0.0, 0.0, True),  # the same model again
        (0.02, 0.01, True),
        (-0.005, 0.004, True),
        (-0.005, 0.006, False),  # it may well have dropped by more than 0.01
        (0.0, 0.02, False),  # nor do too few episodes show that it has not
        (-0.02, 0.001, False),
    ],
)
def test_the_whole_interval_has_to_lie_above_the_drop_that_is_let_pass(
    mean: float, interval95: float, passes: bool
) -> None:
    assert (unmet(Gate(), [compared("a", mean, interval95)]) == []) == passes


def test_a_reason_says_what_was_found_and_what_was_needed() -> None:
    gate = Gate(min_gain=0.01)
    assert unmet(gate, [compared("novel_5way_1shot", -0.03, 0.005), compared("b", 0.02)]) == [
        "novel 5way 1shot: found -3.00 ± 0.50 points, needed the whole interval above -1.00 "
        "(max_drop)",
        "novel 5way 1shot: found -3.00 ± 0.50 points, needed a mean of at least +1.00 (min_gain)",
    ]


def test_a_protocol_counts_over_its_domain_and_that_over_the_rest() -> None:
    gate = Gate.model_validate(
        {
            "max_drop": 0.01,
            "domains": {"digits": {"max_drop": 0.05}},
            "protocols": {"d1": {"max_drop": 0.2}, "n1": {"min_gain": 0.01}},
        }
    )
    found = [
        compared("d1", -0.1, domain="digits"),
        compared("d2", -0.04, domain="digits"),
        compared("n1", 0.02),
    ]
    assert unmet(gate, found) == []
    found[1] = compared("d2", -0.06, domain="digits")
    found[2] = compared("n1", 0.0)
    assert [reason.split(":")[0] for reason in unmet(gate, found)] == ["d2", "n1"]


def test_a_first_candidate_has_nothing_to_stand_up_to() -> None:
    assert unmet(Gate(min_gain=0.5), [first("a")]) == []


@pytest.mark.parametrize("key", ["domains", "protocols"])
def test_a_name_that_is_not_measured_is_told(key: str) -> None:
    gate = Gate.model_validate({key: {"nowhere": {"max_drop": 0.1}}})
    with pytest.raises(ParametersError, match=rf"{key}\.nowhere: not measured; .* measures"):
        unmet(gate, [first("a")])


def test_the_committed_file_says_the_defaults() -> None:
    assert load_gate(ROOT) == Gate()


def test_a_project_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert load_gate(tmp_path) == Gate()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_dorp: 1\n", "max_dorp: unknown key; allowed here: min_gain, max_drop, domains"),
        ("max_drop: -1\n", "max_drop: found -1, needed greater than or equal to 0"),
        ("domains: {a: {way: 5}}\n", "domains.a.way: unknown key; allowed here: min_gain"),
        ("- 1\n", "found list, needed sections by name"),
    ],
)
def test_a_fault_in_the_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "release.yaml").write_text(text)
    with pytest.raises(ParametersError) as fault:
        load_gate(tmp_path)
    assert told in str(fault.value)
    assert len(str(fault.value).splitlines()) == 1
