import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.export.adaptation import carried, in_words
from tasks.export.figures import mean_with_interval
from tasks.export.manifest import learned_numbers, model_card, preprocessing_in_words
from tasks.framing.graph import Framing
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec


def test_the_card_gives_every_figure_with_its_interval_and_number_of_episodes(
    golden_bundle: Path,
) -> None:
    description = json.loads((golden_bundle / "manifest.json").read_text())
    card = model_card(description)
    assert "mean of 1,000 episodes with 15 queries a class" in card
    assert "| novel | 5 | 1 | 50.00 ± 1.00 | 80.00 ± 1.00 | 90.00 ± 1.00 | +10.00 ± 1.00 |" in card
    assert "It is not meant for photographs" in card and "handwriting" not in card
    assert "\n\n\n" not in card


def test_the_card_speaks_of_the_client_only_where_the_bundle_has_one(golden_bundle: Path) -> None:
    description = json.loads((golden_bundle / "manifest.json").read_text())
    int8 = {"quantisation": {"file": None, "reason": "export.int8 is false"}}
    assert "fewshot" not in model_card(description | int8)
    assert "`fewshot.py`, in this folder" in model_card(
        description | {"client": {"file": "fewshot.py"}}
    )


def test_the_card_says_why_there_is_no_page_and_where_the_learned_numbers_stand(
    golden_bundle: Path,
) -> None:
    description = json.loads((golden_bundle / "manifest.json").read_text())
    description["client"] = {"file": "fewshot.py"}
    description["teach_page"] = {"file": None, "runtime": None, "reason": "nobody wanted it"}
    one = {"graph": "adapt.onnx", "name": "learner.scale", "shape": [], "value": 2.5}
    description["learner"] |= {"initialisers": [one], "unrolled": "the steps are unrolled"}
    card = model_card(description)
    assert "There is no page to teach in a browser (`teach.html`): nobody wanted it." in card
    assert "`learner.scale` 2.5 in `adapt.onnx`; the steps are unrolled |\n" in card
    assert "\n\n\n" not in card


def test_the_card_speaks_of_fonts_and_digits_only_where_they_were_used(golden_bundle: Path) -> None:
    description = json.loads((golden_bundle / "manifest.json").read_text())
    description["data"]["source"] = "glyphs"
    description["data"]["parts"]["digits"] = description["data"]["parts"]["novel"]
    card = model_card(description)
    assert "DejaVu and STIX" in card and "CC BY 4.0" in card and "real handwriting" in card


@pytest.mark.parametrize("mode", ["ink", "crop"])
def test_preprocessing_is_told_with_its_numbers(mode: str) -> None:
    words = preprocessing_in_words(Framing(mode, 28, 1))
    assert "28" in words and "0.299" in words and words.endswith("divided by 255")


def test_few_learned_numbers_are_shown_and_long_ones_are_not() -> None:
    assert learned_numbers(build_learner(LearnerSpec("cosine", 256))) == {"temperature": 10.0}
    shown = learned_numbers(build_learner(LearnerSpec("anil", 256, inner_steps=2)))
    assert torch.tensor(shown["rates.raw"]).shape == (2,)
    assert learned_numbers(torch.nn.Linear(100, 2)).keys() == {"bias"}


def test_the_card_tells_what_the_bundle_leaves_out_of_the_adaptation(golden_bundle: Path) -> None:
    description = json.loads((golden_bundle / "manifest.json").read_text())
    assert "of its adaptation" not in model_card(description)
    learner = build_learner(LearnerSpec("reptile", 8, inner_steps=2, normalisation="transductive"))
    assert (carried(learner), carried(build_learner(LearnerSpec("mtl", 8)))) == ("head", "all")
    description["learner"]["adaptation"] = {
        "carried": carried(learner),
        "words": in_words(learner),
        "cost": {
            "protocol": "novel 5-way 1-shot",
            "queries": 15,
            "episodes": 300,
            "all": 0.8,
            "head": 0.75,
            "all_over_head": mean_with_interval(np.array([0.04, 0.06])),
        },
    }
    card = model_card(description)
    assert "the head alone: 2 gradient steps" in card and "BatchNorm normalises" in card
    assert "300 episodes of novel 5-way 1-shot it reaches 75.00 %" in card
    assert "+5.00 ± 12.71 points" in card and "\n\n\n" not in card


def test_words_tell_how_much_of_each_learner_is_carried() -> None:
    assert in_words(build_learner(LearnerSpec("ridge", 8))) == (
        "all of it; it takes no gradient steps"
    )
    anil = build_learner(LearnerSpec("anil", 8, inner_steps=1))
    assert in_words(anil) == "all of it: 1 gradient step of the head"


def test_the_card_tells_transfer_at_its_best_speed_calibration_and_leakage(
    golden_bundle: Path,
) -> None:
    description = json.loads((golden_bundle / "manifest.json").read_text())
    metrics = description["metrics"]
    [result] = metrics["results"].values()
    result["tuned"] = {"chosen": "ridge, lambda 1"}
    result["accuracy"]["tuned"], result["interval95"]["tuned"] = 0.85, 0.01
    result["gain"]["meta_over_tuned"] = {"mean": 0.05, "interval95": 0.01}
    result["calibration_error"] = {"meta": 0.02}
    until = {"steps": None, "low": 50, "high": None}
    metrics["adaptation_curves"] = {
        "one": {
            "domain": "novel",
            "way": 5,
            "shot": 1,
            "target": 0.8,
            "starts": {"random": {"steps_until_target": until}},
        }
    }
    metrics["leakage"] = {
        "shared": [{"first": "base", "second": "novel", "images": 3, "names": 0}],
        "weights": "imagenet",
        "imagenet_class_names": {"novel": ["goldfish"]},
    }
    card = model_card(description)
    for line in (
        "- novel, 5-way 1-shot: ridge, lambda 1, 85.00 ± 1.00; +5.00 ± 1.00\n",
        "- novel, 5-way 1-shot, 80.00 %: random never [50, never]\n",
        "novel_5way_1shot 2.00.\n",
        "- base and novel share 3 images and 0 class names.\n",
        "Classes of novel with names of ImageNet classes: goldfish.\n",
    ):
        assert line in card
    assert "\n\n\n" not in card
