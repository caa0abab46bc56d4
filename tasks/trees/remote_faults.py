"""What the errors of remote file systems mean, told without a word of theirs.

The text of such an error may hold an address with its password or signature. So the kind of an
error, and the codes of HTTP and S3 inside it, are all that is passed on.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What kept a file from being read.

    Attributes:
        words: for a person.
        lasting: whether the file itself is at fault, and asking again cannot help.
    """

    words: str
    lasting: bool


_NO_CREDENTIALS = Fault(
    "no credentials found, needed some that may read it; for a public bucket FSSPEC_S3_ANON=true",
    lasting=False,
)
_DENIED = Fault("access denied, needed credentials that may list and read it", lasting=True)
_SILENT = Fault("no answer in time; is the address right, and the network up?", lasting=False)
_EMPTIED = Fault("empty by now, needed an image", lasting=True)
_GONE = Fault("nothing is there", lasting=True)
_UNREACHED = Fault("cannot be reached; is the address right, and the network up?", lasting=False)

_FIRST_FAILING_STATUS = 429  # of HTTP: too many requests, and from 500 on faults of the server


def fault(error: BaseException) -> Fault:
    """What an error means, whichever library of fsspec's it comes from."""
    chain = [*_chain(error)]
    names = [type(one).__name__ for one in chain]
    codes = [code for one in chain for code in _codes(one)]

    def holds(kind: type[BaseException], word: str, *said: str) -> bool:
        return (
            any(isinstance(one, kind) for one in chain)
            or (bool(word) and any(word in name for name in names))
            or any(code in said for code in codes)
        )

    failing = any(code.isdigit() and int(code) >= _FIRST_FAILING_STATUS for code in codes)
    meanings = (
        (any("Credentials" in name for name in names), _NO_CREDENTIALS),
        (holds(PermissionError, "", "401", "403"), _DENIED),
        (holds(TimeoutError, "Timeout"), _SILENT),
        (any(code in ("416", "InvalidRange") for code in codes), _EMPTIED),
        (any(code in ("404", "410", "NoSuchBucket", "NoSuchKey") for code in codes), _GONE),
        (holds(ConnectionError, "Connect"), _UNREACHED),
        (holds(FileNotFoundError, "") and not failing, _GONE),
    )
    generic = Fault(f"cannot be read: {' '.join(dict.fromkeys((names[0], *codes)))}", False)
    return next((meaning for applies, meaning in meanings if applies), generic)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _codes(error: BaseException) -> Iterator[str]:
    """Numbers of HTTP and names of S3, from the errors of aiohttp, botocore and gcsfs."""
    for one in (getattr(error, "status", None), getattr(error, "code", None)):
        if isinstance(one, int):
            yield str(one)
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        if code.isalnum():
            yield code
