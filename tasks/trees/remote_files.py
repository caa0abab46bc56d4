"""Files at an address, through fsspec: bounded waits, and faults told without credentials."""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from tasks.errors import DataError
from tasks.trees.remote_faults import fault
from tasks.trees.tree import printable

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 8.0  # of silence
DEADLINE_S = 30.0  # for the first answer, retries included
_ATTEMPTS = 3
_BLOCK_BYTES = 1024 * 1024
_BLOCKS = 32  # kept of an archive

_HTTP = ("http", "https")
_BRACKETS = re.compile(r"\[[^]/]*]")  # around an address of IPv6
_MARKS = (
    "ETag", "etag", "generation", "md5Hash", "md5", "content_md5", "Content-MD5", "Digest",
)  # fmt: skip
_TIMES = (
    "mtime", "LastModified", "last_modified", "Last-Modified", "modified", "updated",
    "modificationTime",
)  # fmt: skip

Answer = TypeVar("Answer")


class RemoteStore:
    """What stands at one address and below. The file system is opened anew in each process."""

    def __init__(self, url: str) -> None:
        """Nothing is asked yet.

        Raises:
            DataError: it names nothing, or several file systems.
        """
        self._url = url
        self._fs: Any = None
        self._lock = threading.Lock()
        self.protocol, _, rest = url.partition("://")
        try:
            urlsplit(url).port  # noqa: B018  looked at, as it tells a password with a slash in it
        except ValueError:
            rest = ""
        if not rest.strip("/") or "::" in _BRACKETS.sub("", url):
            raise DataError(
                "found an address that cannot be read (it is not shown, as it may hold a password)"
                ", needed one such as s3://BUCKET/FOLDER; in a user or password write / as %2F"
            )

    @property
    def shown(self) -> str:
        """The address without user, password and query, for messages."""
        parts = urlsplit(self._url)
        place = parts.netloc.rpartition("@")[2]
        return printable(f"{self.protocol}://{place}{parts.path}")

    @property
    def over_http(self) -> bool:
        """Whether it is a web server, which answers for single files only."""
        return self.protocol in _HTTP

    @property
    def fs(self) -> Any:
        """The file system of fsspec.

        Raises:
            DataError: its plugin is not installed, or nobody knows the protocol.
        """
        with self._lock:
            if self._fs is None:
                self._fs = self._open_file_system()
        return self._fs

    def name(self, path: str = "") -> str:
        """How the file system calls the file at `path`, or the root."""
        if self.over_http:
            parts = urlsplit(self._url)
            below = f"{parts.path.rstrip('/')}/{quote(path, errors='surrogateescape')}"
            return urlunsplit(parts._replace(path=below if path else parts.path, fragment=""))
        root = str(self.fs._strip_protocol(self._url)).rstrip("/")
        return f"{root}/{path}" if path else root

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer to a question that takes one request or a few.

        Raises:
            TimeoutError: none in time.
            Exception: whatever the file system raised; `fault` tells what it means.
        """
        answers: list[Answer] = []
        errors: list[BaseException] = []

        def put() -> None:
            try:
                answers.append(question())
            except BaseException as error:
                errors.append(error)

        # A thread, as not every file system of fsspec can be told when to stop waiting.
        waiting = threading.Thread(target=put, daemon=True)
        waiting.start()
        waiting.join(DEADLINE_S)
        if errors:
            raise errors[0]
        if not answers:
            raise TimeoutError
        return answers[0]

    def kind(self) -> str:
        """`file`, `directory`, or empty where there is neither or nobody may know.

        Raises:
            DataError: it cannot be reached.
        """
        fs = self.fs
        try:
            return str(self.ask(lambda: fs.info(self.name()))["type"])
        except Exception as error:
            if fault(error).lasting:
                return ""
            raise self.unreadable(error) from None

    def info(self, path: str = "") -> Mapping[str, Any]:
        """What the file system knows of a file, or of the root.

        Raises:
            DataError: it cannot be reached, is not there, or may not be read.
        """
        fs = self.fs
        try:
            return dict(self.ask(lambda: fs.info(self.name(path))))
        except Exception as error:
            raise self.unreadable(error) from None

    def content(self, length: int) -> bytes:
        """The start of the file at the root itself, for what is small.

        Raises:
            DataError: it cannot be reached, is not there, or may not be read.
        """
        fs = self.fs
        try:
            return bytes(self.ask(lambda: fs.cat_file(self.name(), start=0, end=length)))
        except Exception as error:
            raise self.unreadable(error) from None

    def unreadable(self, error: BaseException) -> DataError:
        """The error for a person, without what caused it."""
        return DataError(f"{self.shown}: {fault(error).words}")

    def _open_file_system(self) -> Any:
        from fsspec.core import url_to_fs

        options = {"skip_instance_cache": True, "use_listings_cache": False}
        try:
            fs, _ = url_to_fs(self._url, **options, **_bounds(self.protocol))
        except ImportError:
            raise DataError(
                f"{self.shown}: addresses of {self.protocol}:// need a package that is not "
                "installed: pip install 'headstart[remote]'"
            ) from None
        except ValueError:
            raise DataError(
                f"{self.shown}: found an address of {self.protocol}://, needed s3://, gs://, "
                "https:// or another that fsspec knows"
            ) from None
        except Exception as error:
            raise self.unreadable(error) from None
        if self.protocol in ("s3", "s3a"):
            fs.retries = 1  # botocore below it retries already
        return fs

    def __reduce__(self) -> tuple[type["RemoteStore"], tuple[str]]:
        return RemoteStore, (self._url,)


class RemoteFile:
    """An archive at an address; only the ranges that are looked at are fetched."""

    def __init__(self, store: RemoteStore) -> None:
        """Open it.

        Raises:
            DataError: it cannot be reached, is not there, or may not be read.
        """
        self._store = store
        self._lock = threading.Lock()
        info = store.info()
        if info.get("type") != "file" or info.get("size") is None:
            raise DataError(f"{store.shown}: found no file that tells its size, needed an archive")
        self.size_bytes = int(info["size"])
        self.mark = mark_of(info)
        try:
            self._file = store.ask(
                lambda: store.fs.open(
                    store.name(),
                    "rb",
                    block_size=_BLOCK_BYTES,
                    cache_type="blockcache",
                    cache_options={"maxblocks": _BLOCKS},
                )
            )
        except Exception as error:
            raise store.unreadable(error) from None

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from there; fewer only where the archive ends.

        Raises:
            DataError: the address does not answer any more, or not with a part of the file.
        """
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        with self._lock:
            try:
                self._file.seek(offset)
                return bytes(self._file.read(length))
            except Exception as error:
                if self._store.over_http and type(error) is ValueError:
                    raise DataError(
                        f"{self._store.shown}: the server sends whole files only, needed one that "
                        "serves ranges; download the file and name it instead"
                    ) from None
                raise self._store.unreadable(error) from None

    def close(self) -> None:
        """Give back the connection."""
        self._file.close()


def mark_of(info: Mapping[str, Any]) -> str:
    """Another one whenever the content may be another; empty where the server tells nothing."""
    marks = [str(info[key]).strip('"') for key in _MARKS if info.get(key)][:1]
    times = [str(info[key]) for key in _TIMES if info.get(key)][:1]
    told = marks or times
    return "-".join((str(info.get("size")), *told)) if told else ""


def _bounds(protocol: str) -> dict[str, Any]:
    """Options that end waiting for a server that does not answer."""
    if protocol in ("s3", "s3a"):
        return {
            "config_kwargs": {
                "connect_timeout": CONNECT_TIMEOUT_S,
                "read_timeout": READ_TIMEOUT_S,
                "retries": {"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            }
        }
    if protocol in ("gs", "gcs"):
        return {"requests_timeout": READ_TIMEOUT_S}
    if protocol in _HTTP:
        import aiohttp

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S
        )
        return {"client_kwargs": {"timeout": timeout}}
    return {}
