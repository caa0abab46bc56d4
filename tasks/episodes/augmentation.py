"""Random changes of training images, whole batches at a time on tensors.

One affine map and one smooth displacement field per image are sampled together, so an image is
interpolated once; then strokes grow thicker or thinner, some images lose resolution, light and dark
may change places, and a photograph may be mirrored and seen in another light.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_FIELD_SIDE = 5  # knots a side of the displacement field
_COARSEST, _FINEST = 0.28, 0.6  # of the side, what a blurred image is shrunk to


@dataclass(frozen=True)
class Augmentation:
    """How far an image may stray.

    Attributes:
        rotation_deg: largest turn either way, degrees.
        shear: largest shear either way, width over height.
        scale: largest change of size, share of one; both axes change independently by half of it.
        shift: largest shift either way, share of the side.
        elastic_px: standard deviation of the displacement at the knots of the field, pixels.
        thickness_probability: share of images whose strokes are made thicker or thinner.
        blur_probability: share of images seen as if scanned at a lower resolution.
        polarity_probability: share of images whose light and dark change places.
        flip_probability: share of images that are mirrored, left for right.
        brightness: largest change of the light either way, share of one.
        contrast: largest change of the contrast about the image's mean, share of one.
        saturation: largest change of the distance from grey, share of one.
        border: what lies beyond the edge of an image: `white` as paper, or its `reflection`.
    """

    rotation_deg: float
    shear: float
    scale: float
    shift: float
    elastic_px: float
    thickness_probability: float
    blur_probability: float
    polarity_probability: float
    flip_probability: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    border: Literal["white", "reflection"] = "white"

    def __call__(
        self,
        images: Float[Tensor, "batch channels side side"],
        generator: torch.Generator,
        rows: slice | None = None,
        of: int = 0,
    ) -> Float[Tensor, "batch channels side side"]:
        """Vary each image of a batch in its own way.

        Args:
            images: `(batch, channels, side, side)`, 0 (black) to 1 (white).
            generator: source of the random numbers; the same state gives the same images.
            rows: where these images stand in a larger batch; each is varied as if all of that
                were given. None is a batch of these alone.
            of: how many images that larger batch has.

        Returns:
            Images of the same shape and range.
        """
        rows = slice(None) if rows is None else rows
        draws = _Draws(generator, of or len(images), rows, images.device)
        ink = 1 - images
        grid = F.affine_grid(self._affine(draws), list(ink.shape), align_corners=False)
        grid = grid + self._elastic(ink, draws)
        if self.flip_probability:
            mirrored = draws.uniform(0.0, 1.0) < self.flip_probability
            across = torch.where(mirrored, -1.0, 1.0)[:, None, None]
            grid = torch.stack([grid[..., 0] * across, grid[..., 1]], dim=-1)
        # No ink is white.
        beyond = "zeros" if self.border == "white" else "reflection"
        ink = F.grid_sample(ink, grid, mode="bilinear", padding_mode=beyond, align_corners=False)
        ink = self._blurred(self._thickness(ink, draws), draws)
        flipped = draws.uniform(0.0, 1.0) < self.polarity_probability
        return self._light(torch.where(flipped[:, None, None, None], ink, 1 - ink), draws)

    def _affine(self, draws: "_Draws") -> Tensor:
        """Maps from output to input positions, `(batch, 2, 3)`, as `affine_grid` wants them."""
        turn = draws.uniform(-self.rotation_deg, self.rotation_deg) * (pi / 180)
        shear = draws.uniform(-self.shear, self.shear)
        size = 1 + draws.uniform(-self.scale, self.scale)
        stretch = 1 + draws.uniform(-self.scale / 2, self.scale / 2)
        shift = torch.stack([draws.uniform(-self.shift, self.shift) for _ in "xy"], 1)
        cos, sin = turn.cos(), turn.sin()
        across, down = size * stretch, size / stretch
        first = torch.stack([cos / across, (shear * cos - sin) / down], 1)
        second = torch.stack([sin / across, (shear * sin + cos) / down], 1)
        # affine_grid spans the side from -1 to 1, hence the factor of two.
        return torch.cat([torch.stack([first, second], 1), 2 * shift[:, :, None]], 2)

    def _elastic(self, images: Tensor, draws: "_Draws") -> Tensor:
        """A smooth field of displacements `(batch, side, side, 2)` in units of half the side."""
        side = images.shape[-1]
        knots = draws.normal(2, _FIELD_SIDE, _FIELD_SIDE)
        field = F.interpolate(knots, size=(side, side), mode="bicubic", align_corners=True)
        return field.permute(0, 2, 3, 1) * (2 * self.elastic_px / side)

    def _thickness(self, ink: Tensor, draws: "_Draws") -> Tensor:
        """Blend with the strokes one pixel thicker or thinner, by a random share."""
        chosen = draws.uniform(0.0, 1.0) < self.thickness_probability
        share = draws.uniform(0.0, 1.0)[:, None, None, None]
        grows = draws.uniform(0.0, 1.0) < 0.5
        changed = ink.clone()
        for which, choose in ((chosen & grows, torch.maximum), (chosen & ~grows, torch.minimum)):
            some = ink[which]
            changed[which] = torch.lerp(some, _neighbours(some, choose), share[which])
        return changed

    def _blurred(self, ink: Tensor, draws: "_Draws") -> Tensor:
        """Shrink to a random side, the same for the whole batch, and enlarge again."""
        chosen = draws.uniform(0.0, 1.0) < self.blur_probability
        side = ink.shape[-1]
        low, high = round(side * _COARSEST), round(side * _FINEST)
        coarse_side = int(torch.randint(low, high + 1, (), generator=draws.generator))
        coarse = F.interpolate(ink[chosen], size=(coarse_side, coarse_side), mode="area")
        blurred = ink.clone()
        blurred[chosen] = F.interpolate(coarse, size=(side, side), mode="bilinear")
        return blurred

    def _light(self, images: Tensor, draws: "_Draws") -> Tensor:
        """Another light, contrast and saturation for each image; values stay within 0..1."""
        if not (self.brightness or self.contrast or self.saturation):
            return images
        light, contrast, saturation = (
            (1 + draws.uniform(-most, most))[:, None, None, None]
            for most in (self.brightness, self.contrast, self.saturation)
        )
        images = torch.lerp(images.mean(dim=(1, 2, 3), keepdim=True), images * light, contrast)
        images = torch.lerp(images.mean(dim=1, keepdim=True), images, saturation)
        return images.clamp(0, 1)


def _neighbours(images: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The largest or smallest of each pixel and its eight neighbours: across, then down."""
    for axis, padding in ((-1, (1, 1, 0, 0)), (-2, (0, 0, 1, 1))):
        side = images.shape[axis]
        padded = F.pad(images, padding, mode="replicate")
        before, after = padded.narrow(axis, 0, side), padded.narrow(axis, 2, side)
        images = choose(choose(before, images), after)
    return images


@dataclass(frozen=True)
class _Draws:
    """Random numbers for each image of a whole batch, of which some rows are wanted."""

    generator: torch.Generator
    of: int
    rows: slice
    device: torch.device

    def uniform(self, low: float, high: float) -> Tensor:
        drawn = torch.rand(self.of, generator=self.generator)[self.rows]
        return low + (high - low) * drawn.to(self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.of, *shape, generator=self.generator)[self.rows].to(self.device)
