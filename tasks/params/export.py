"""Section `export`: what production gets."""

from typing import Annotated

from pydantic import Field

from tasks.params.section import PositiveInt, Section, Share


class Export(Section):
    """What production gets."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    maximum_batch: PositiveInt
    maximum_image_side_px: Annotated[int, Field(ge=16, le=20_000)]
    int8: bool
    max_accuracy_drop: Share
    teach_page: bool
