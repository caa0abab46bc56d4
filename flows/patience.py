"""How long a stage may take before the flow takes it for one that hangs."""

import math
import os

from tasks.errors import HeadstartError, ParametersError

TIMEOUT_VARIABLE = "HEADSTART_STAGE_TIMEOUT_S"
STAGE_TIMEOUT_S = 7 * 86400.0  # longer than any recipe takes; a hang must end some day all the same


class StillAtWorkError(HeadstartError):
    """A child took longer than it may, and was stopped."""

    exit_code = 124  # as `timeout` of the coreutils has it


def stage_timeout_s() -> float:
    """The seconds that one stage may take, DVC's share included.

    An environment variable and no parameter of the pipeline: whatever starts the run hands it on
    to clones and candidates, and another bound makes no other model.

    Raises:
        ParametersError: the variable holds something else.
    """
    told = os.environ.get(TIMEOUT_VARIABLE, "")
    if not told:
        return STAGE_TIMEOUT_S
    try:
        seconds = float(told)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise ParametersError(
            f"{TIMEOUT_VARIABLE}: found {told!r}, needed a number of seconds above 0, such as 86400"
        )
    return seconds
