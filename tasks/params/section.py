"""What every section of `params.yaml` is made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Processes = Annotated[int, Field(ge=1, le=64)]
Device = Literal["cpu", "cuda"]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Values that cannot change once read, and no key that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def meeting_fault(processes: int, device: Device) -> str:
    """What is wrong with several processes on this device; empty where nothing is."""
    if processes > 1 and device != "cpu":
        return (
            f"processes: found {processes} with device: {device}, needed 1; several processes meet "
            "over gloo, in memory, and train on processors"
        )
    return ""
