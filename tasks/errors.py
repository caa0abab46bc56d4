"""What can go wrong, told in one line: what was found, what was needed, what to change."""


class HeadstartError(Exception):
    """A fault that a person can mend; commands print its text and never a traceback.

    Attributes:
        exit_code: what a command that ends with it returns to its caller.
    """

    exit_code = 2


class ParametersError(HeadstartError):
    """`params.yaml` holds something that cannot be meant."""


class DataError(HeadstartError):
    """Images, fonts, weights or an artifact of an earlier stage are missing or damaged."""


class BundleError(HeadstartError):
    """A bundle is damaged, or is asked for something it does not promise."""


class MovedInputsError(HeadstartError):
    """Params or dependencies changed while a stage was running."""


class LostProcessError(HeadstartError):
    """A process that shared the work of a stage was killed, or was not to be had."""


class BusyError(HeadstartError):
    """Another run holds the project; the same command succeeds later."""

    exit_code = 75
