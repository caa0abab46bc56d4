import csv
import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from tasks.artifacts.files import read_json, sha256
from tasks.artifacts.layout import EVALUATED, METRICS, PRETRAINED, REPORT, TIMED
from tasks.evaluate.stage import evaluate
from tasks.evaluate.trajectories import STEPS
from tasks.metatrain.stage import metatrain
from tasks.params import Params
from tasks.pretrain.stage import pretrain
from tasks.progress import untracked
from tasks.statistics import estimate, paired_difference

Project = Callable[..., Params]


@pytest.fixture
def evaluated(tiny_project: Project) -> Params:
    params = tiny_project()
    for stage in (pretrain, metatrain, evaluate):
        stage(params, untracked)
    return params


def test_metrics_hold_every_protocol_arm_and_paired_gain(evaluated: Params) -> None:
    metrics = read_json(METRICS, "evaluate")
    assert list(metrics["results"]) == ["novel_3way_1shot", "novel_5way_5shot", "digits_3way_1shot"]
    for result in metrics["results"].values():
        assert list(result["accuracy"]) == ["random", "alone", "transfer", "tuned", "meta"]
        assert all(0 <= value <= 1 for value in result["accuracy"].values())
        gain = result["gain"]["meta_over_transfer"]["mean"]
        difference = result["accuracy"]["meta"] - result["accuracy"]["transfer"]
        assert gain == pytest.approx(difference, abs=1e-12)
    with (EVALUATED / "accuracy.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 15


def test_a_second_run_gives_the_same_bytes(evaluated: Params) -> None:
    before = {path.name: sha256(path) for path in EVALUATED.iterdir()}
    evaluate(evaluated, untracked)
    assert {path.name: sha256(path) for path in EVALUATED.iterdir()} == before


def test_what_a_clock_said_stands_in_a_report_beside_the_outputs(evaluated: Params) -> None:
    with (TIMED / "adaptation_seconds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {int(row["steps"]) for row in rows} == set(STEPS)
    assert all(0 < float(row["seconds"]) < 60 for row in rows)
    assert "against time on this machine" in (TIMED / REPORT.name).read_text()
    assert "against time on this machine" not in REPORT.read_text()


def test_the_report_carries_everything_and_asks_no_network(evaluated: Params) -> None:
    report = REPORT.read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', report)
    inside = ("data:image/png;base64,", "#")
    assert len(sources) > 20 and all(one.startswith(inside) for one in sources)
    assert not re.search(r"https?://|<script|<link|@import|url\((?!#)", report)


def test_charts_take_the_colours_of_the_page(evaluated: Params) -> None:
    report = REPORT.read_text()
    charts = re.findall(r"<svg.*?</svg>", report, re.DOTALL)
    assert len(charts) > 8
    for chart in charts:
        colours = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", chart))
        assert all(one == "none" or one.startswith("var(--") for one in colours), colours


def test_a_class_name_that_is_html_stays_text(evaluated: Params) -> None:
    report = REPORT.read_text()
    assert "&lt;b&gt;novel &amp; co&lt;/b&gt;" in report
    assert "<b>novel" not in report


def test_the_interval_is_students_t() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.1, 50)
    ours = estimate(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert ours.mean - ours.interval95 == pytest.approx(low)
    assert ours.mean + ours.interval95 == pytest.approx(high)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    estimates = [estimate(rng.normal(0, 1, 30)) for _ in range(2000)]
    covered = np.mean([abs(one.mean) <= one.interval95 for one in estimates])
    # Four standard deviations of 2,000 draws at 0.95 are 0.02.
    assert covered == pytest.approx(0.95, abs=0.02)


def test_pairing_cancels_what_episodes_have_in_common() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0.7, 0.2, 500)
    ours, theirs = difficulty + 0.01, difficulty + rng.normal(0, 0.01, 500)
    difference = paired_difference(ours, theirs)
    assert difference.interval95 < estimate(ours).interval95 / 10
    assert abs(difference.mean - 0.01) < difference.interval95 * 2


def test_without_meta_alone_with_another_head_and_every_kind_of_episode(
    tiny_project: Project,
) -> None:
    params = tiny_project(
        metatrain={"alone": False},
        evaluate={
            "adaptation": "centred_cosine",
            "protocols": [
                {"domain": "novel", "way": "all", "shot": 1},
                {"domain": "novel", "way": 3, "shot": 4, "imbalanced": True},
                {"domain": "digits", "way": 2, "shot": 1, "within_group": True},
            ],
            "fine_tuning": {"network": True, "network_steps": [1], "episodes": 10},
        },
    )
    pretrain(params, untracked)
    metatrain(params, untracked)
    rates = "segment,starts_at_epoch,rate,score,chosen\n0,0,0.01,0.5,0\n0,0,0.003,0.6,1\n"
    (PRETRAINED / "rates.csv").write_text(rates)
    evaluate(params, untracked)
    metrics = read_json(METRICS, "evaluate")
    assert list(metrics["results"]) == [
        "novel_allway_1shot",
        "novel_3way_4shot_imbalanced",
        "digits_2way_1shot_within_group",
    ]
    everything = metrics["results"]["novel_allway_1shot"]
    assert everything["way"] == 6
    assert "alone" not in everything["accuracy"]
    assert any("network" in title for title in everything["tuned"]["candidates"])
    for curve in metrics["adaptation_curves"].values():
        assert list(curve["starts"]) == ["random", "transfer", "transfer_from_prototypes", "meta"]
        assert curve["starts"]["transfer"]["accuracy"][0] == pytest.approx(1 / curve["way"])
    with (EVALUATED / "adaptation_curve.csv").open() as file:
        assert {row["alone"] for row in csv.DictReader(file)} == {""}
    report = REPORT.read_text()
    assert "All arms adapt by centred_cosine" in report
    assert "learning rate (ringed: chosen)" in report
    assert "meta alone" not in report
