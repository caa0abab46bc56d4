import json
from pathlib import Path

import pytest
import torch

from tasks.export.manifest import learned_numbers, model_card, preprocessing_in_words
from tasks.framing.graph import Framing
from tasks.learners.learner import LearnerSpec, build_learner


def test_the_card_gives_every_figure_with_its_interval_and_number_of_episodes(
    golden_bundle: Path,
) -> None:
    description = json.loads((golden_bundle / "manifest.json").read_text())
    card = model_card(description)
    assert "mean of 1,000 episodes with 15 queries a class" in card
    assert "| novel | 5 | 1 | 50.00 ± 1.00 | 80.00 ± 1.00 | 90.00 ± 1.00 | +10.00 ± 1.00 |" in card
    assert "It is not meant for photographs" in card and "handwriting" not in card
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
    assert torch.tensor(shown["raw_rates"]).shape == (2,)
    assert learned_numbers(torch.nn.Linear(100, 2)).keys() == {"bias"}
