from dataclasses import replace

import pytest
import torch

from tasks.episodes.augmentation import Augmentation

NOTHING = Augmentation(*[0.0] * 8)


def images(batch: int = 6) -> torch.Tensor:
    ink = torch.zeros(batch, 1, 28, 28)
    ink[:, :, 8:20, 12:16] = 1
    return 1 - ink


def apply(augmentation: Augmentation, batch: int = 6, seed: int = 0) -> torch.Tensor:
    return augmentation(images(batch), torch.Generator().manual_seed(seed))


def test_no_change_asked_for_is_no_change() -> None:
    torch.testing.assert_close(apply(NOTHING), images(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_deg": 30.0},
        {"shear": 0.4},
        {"scale": 0.3},
        {"shift": 0.2},
        {"elastic_px": 2.0},
        {"thickness_probability": 1.0},
        {"blur_probability": 1.0},
        {"polarity_probability": 1.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_change_does_something_and_stays_in_range(change: dict[str, float]) -> None:
    changed = apply(replace(NOTHING, **change))
    assert (changed - images()).abs().amax() > 0.1
    assert changed.min() >= 0 and changed.max() <= 1 + 1e-6
    assert torch.equal(changed, apply(replace(NOTHING, **change)))


def test_images_of_a_batch_change_independently() -> None:
    changed = apply(replace(NOTHING, rotation_deg=30.0, shift=0.1))
    assert len(torch.unique(changed.flatten(1), dim=0)) == len(changed)


def test_polarity_swaps_ink_and_paper() -> None:
    torch.testing.assert_close(apply(replace(NOTHING, polarity_probability=1.0)), 1 - images())


def test_a_shift_moves_ink_by_as_much_as_asked_and_brings_in_paper() -> None:
    changed = apply(replace(NOTHING, shift=0.25), batch=400)
    columns = torch.arange(28.0)
    ink = 1 - changed
    centres = (ink.sum(dim=(1, 2)) * columns).sum(1) / ink.sum(dim=(1, 2, 3))
    moved = centres - 13.5
    assert moved.abs().max() <= 7.01 and moved.max() > 6 and moved.min() < -6
    assert (changed[:, 0, :, 0] == 1).all()


def test_thickness_both_thickens_and_thins() -> None:
    ink = (1 - apply(replace(NOTHING, thickness_probability=1.0), batch=60)).sum(dim=(1, 2, 3))
    before = (1 - images(1)).sum()
    assert ink.max() > before * 1.2 and ink.min() < before * 0.8
