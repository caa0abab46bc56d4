from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tasks.episodes.augmentation import Augmentation, _neighbours

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
        {"brightness": 0.5},
        {"contrast": 0.5},
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


def test_neighbours_are_what_pooling_by_three_finds() -> None:
    images = torch.rand(3, 2, 9, 7)
    widest = F.max_pool2d(images, 3, stride=1, padding=1)
    assert torch.equal(_neighbours(images, torch.maximum), widest)
    assert torch.equal(_neighbours(-images, torch.minimum), -widest)


def test_thickness_both_thickens_and_thins() -> None:
    ink = (1 - apply(replace(NOTHING, thickness_probability=1.0), batch=60)).sum(dim=(1, 2, 3))
    before = (1 - images(1)).sum()
    assert ink.max() > before * 1.2 and ink.min() < before * 0.8


def photographs(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_a_mirrored_image_is_the_image_read_from_the_right() -> None:
    mirrored = replace(NOTHING, flip_probability=1.0)
    changed = mirrored(photographs(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(changed, photographs().flip(-1), atol=1e-5, rtol=0)


def test_saturation_moves_colours_and_leaves_grey_alone() -> None:
    vivid = replace(NOTHING, saturation=0.9)
    grey = photographs()[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(
        vivid(grey, torch.Generator().manual_seed(0)), grey, atol=1e-5, rtol=0
    )
    changed = vivid(photographs(), torch.Generator().manual_seed(0))
    assert (changed - photographs()).abs().max() > 0.05


def test_beyond_a_photographs_edge_lies_its_reflection_and_no_white() -> None:
    dark = torch.full((8, 3, 16, 16), 0.2)
    shifted = replace(NOTHING, shift=0.5)
    white = shifted(dark, torch.Generator().manual_seed(0))
    reflected = replace(shifted, border="reflection")(dark, torch.Generator().manual_seed(0))
    assert white.max() == 1
    torch.testing.assert_close(reflected, dark, atol=1e-5, rtol=0)
