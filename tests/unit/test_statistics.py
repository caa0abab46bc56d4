import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluate.calibration import calibration
from tasks.statistics import bootstrap_interval, worst_decile


def test_a_model_that_is_right_as_often_as_it_says_has_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 200_000).astype(np.float32)
    right = rng.uniform(size=confidence.size) < confidence
    # A bin of 13,000 answers errs by 0.4 points at most, one standard deviation.
    assert calibration(confidence, right).error < 0.01


@given(overconfidence=st.floats(0.05, 0.4), seed=st.integers(0, 1000))
def test_calibration_error_is_how_far_confidence_is_off(overconfidence: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1, 50_000).astype(np.float32)
    right = rng.uniform(size=confidence.size) < confidence - overconfidence
    told = calibration(confidence, right)
    assert told.error == pytest.approx(overconfidence, abs=0.02)
    assert told.share.sum() == pytest.approx(1)


def test_certainty_falls_into_the_last_bin() -> None:
    told = calibration(np.ones(4, np.float32), np.array([True, True, True, False]))
    assert (told.error, told.confidence.tolist(), told.accuracy.tolist()) == (0.25, [1.0], [0.75])


def test_the_worst_decile_is_the_mean_of_the_lowest_tenth() -> None:
    assert worst_decile(np.arange(100) / 100) == pytest.approx(0.045)
    assert worst_decile(np.array([0.5, 0.9])) == 0.5


def test_a_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        values = rng.normal(0.8, 0.1, (80, 1))
        low, high = bootstrap_interval(values, lambda means: float(means[0]), rng, resamples=400)
        covered += low <= 0.8 <= high
    # Four standard deviations of 300 draws at 0.95 are 0.05.
    assert covered / 300 == pytest.approx(0.95, abs=0.05)


def test_a_bootstrap_interval_may_end_at_never() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (50, 1))
    values -= values.mean()
    ends = bootstrap_interval(values, lambda means: 3.0 if means[0] >= 0 else np.inf, rng)
    assert ends == (3.0, np.inf)
