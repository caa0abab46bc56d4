"""What every section of `params.yaml` is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Processes = Annotated[int, Field(ge=1, le=64)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Values that cannot change once read, and no key that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
