"""Objects of DVC between its remote and the cache here, each checked by its hash.

DVC takes an object for what its name says: a truncated one that was fetched once is read as good
from then on. So whatever is fetched here is hashed, and what is not what its name says goes.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks.errors import HeadstartError

ASKED_AT_ONCE = 16  # objects whose size is asked for; a remote far away takes 0.1 s for each


class RemoteError(HeadstartError):
    """The remote does not answer, refuses, or holds something else than was put there."""


@dataclass
class Fetched:
    """What came from the remote.

    Attributes:
        objects: files, and lists of the files of a folder.
        bytes: of them.
    """

    objects: int = 0
    bytes: int = 0


class RemoteObjects:
    """The default remote of a project, or the one that an output names.

    Args:
        repo: DVC's.
        tell: is called with lines for people.
    """

    def __init__(self, repo: Any, tell: Any) -> None:
        self._repo = repo
        self._tell = tell
        self.fetched = Fetched()

    def bring(self, out: Any, check_cached: bool = False) -> bool:
        """Have all objects of an output in the cache.

        Args:
            out: an output of DVC, as dvc.lock records it.
            check_cached: hash those too that the cache holds already; what is damaged is fetched.

        Returns:
            False where neither the cache nor the remote has all of them.

        Raises:
            RemoteError: the remote cannot be asked, or what it holds is damaged.
        """
        if not out.use_cache or not out.hash_info:
            return False
        if not self._bring(out, [str(out.hash_info.value)], check_cached):
            return False
        return self._bring(out, _children(out), check_cached)

    def is_cached(self, out: Any) -> bool:
        """Whether the cache holds all objects of an output; the remote is not asked."""
        if not out.use_cache or not out.hash_info:
            return False
        return _is_there(out.cache, str(out.hash_info.value)) and all(
            _is_there(out.cache, oid) for oid in _children(out)
        )

    def complete(self, outs: Iterable[Any]) -> int:
        """Have the remote hold every object of the outputs in its full size.

        DVC takes a folder for pushed whose list is there, and an object for whole that has the
        name: after a push that was cut, and for an object that was cut short, this sees more.

        Returns:
            How many objects had to be put there.

        Raises:
            RemoteError: the remote cannot be asked, or takes nothing.
        """
        count = 0
        for out in outs:
            remote, cache = self._remote(out), out.cache
            # The list of a folder comes last: where it is, the rest is.
            oids = [*self._listed(out, remote), str(out.hash_info.value)]
            with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
                sizes = list(pool.map(partial(self._size, remote), oids))
            for oid, found in zip(oids, sizes, strict=True):
                if not _is_there(cache, oid):
                    self._check_kept(out, oid, found)
                elif found != Path(cache.oid_to_path(oid)).stat().st_size:
                    self._put(cache, remote, oid, str(out))
                    count += 1
        return count

    def _bring(self, out: Any, oids: Sequence[str], check_cached: bool) -> bool:
        cache = out.cache
        if check_cached:
            for oid in oids:
                if _is_there(cache, oid) and not _is_sound(cache, oid):
                    self._tell(f"{out}: object {oid} in DVC's cache is damaged; it is fetched anew")
                    _remove(cache, oid)
        wanted = sorted({oid for oid in oids if not _is_there(cache, oid)})
        if not wanted:
            return True
        if not self._is_configured(out):
            return False
        missing = self._fetch(out, wanted)
        if damaged := [
            oid for oid in wanted if oid not in missing and self._drop_damaged(out, oid)
        ]:
            self._tell(f"{out}: object {damaged[0]} came damaged from the remote; once more")
            missing |= self._fetch(out, damaged)
            if still := [oid for oid in damaged if self._drop_damaged(out, oid)]:
                place = self._remote(out).oid_to_path(still[0])
                raise RemoteError(
                    f"{out}: the remote holds {place}, which is damaged: its content is not what "
                    "its name says. Nothing of it was used; remove it there and `dvc push` from a "
                    "checkout that has it"
                )
        for oid in wanted:
            if oid not in missing:
                self.fetched.objects += 1
                self.fetched.bytes += Path(cache.oid_to_path(oid)).stat().st_size
        return not missing

    def _fetch(self, out: Any, oids: Sequence[str]) -> set[str]:
        """Copy objects into the cache; those that the remote does not hold."""
        remote, cache = self._remote(out), out.cache
        faults: dict[str, BaseException] = {}
        general: Exception | None = None
        try:
            paths = [remote.oid_to_path(oid) for oid in oids]
            cache.add(paths, remote.fs, list(oids), on_error=faults.setdefault)
        except Exception as error:  # each store has its own
            general = error
        missing = set()
        for oid in oids:
            fault = faults.get(oid) or general
            if fault is None:
                continue
            if not isinstance(fault, FileNotFoundError):
                _remove(cache, oid)  # the beginning of one may lie there under its name
                raise self._refusal(out, fault)
            if not _is_there(cache, oid):
                missing.add(oid)
        if missing:
            self._check_place(out)
        return missing

    def _drop_damaged(self, out: Any, oid: str) -> bool:
        if not _is_there(out.cache, oid) or _is_sound(out.cache, oid):
            return False
        _remove(out.cache, oid)
        return True

    def _is_configured(self, out: Any) -> bool:
        return bool(out.remote or self._repo.config["core"].get("remote"))

    def _remote(self, out: Any) -> Any:
        try:
            return self._repo.cloud.get_remote_odb(out.remote, "fetch", hash_name=out.hash_name)
        except Exception as error:  # a missing plugin, a wrong setting, a refused login
            raise self._refusal(out, error) from None

    def _check_place(self, out: Any) -> None:
        """Tell a remote that is not there from one that lacks an object."""
        remote = self._repo.cloud.get_remote(out.remote)
        fs, place = remote.fs, remote.path
        if fs.protocol in ("s3", "gs"):
            place = place.partition("/")[0]  # a folder of a bucket exists by what is in it
        try:
            found = fs.exists(place)
        except Exception as error:
            raise self._refusal(out, error) from None
        if not found:
            raise self._refusal(out, FileNotFoundError(f"{place}: nothing is there"))

    def _size(self, remote: Any, oid: str) -> int | None:
        try:
            return int(remote.fs.info(remote.oid_to_path(oid))["size"])
        except FileNotFoundError:
            return None
        except Exception as error:
            raise RemoteError(f"DVC's remote does not answer: {said(error)}") from None

    def _listed(self, out: Any, remote: Any) -> list[str]:
        """Objects of the files of a folder, by its list here or by that on the remote."""
        if not out.hash_info.isdir or _is_there(out.cache, str(out.hash_info.value)):
            return _children(out)
        try:
            return _names(remote, out)
        except Exception as error:  # it is not there, or is no list
            raise RemoteError(
                f"{out}: its list of files is neither in DVC's cache nor whole in its remote: "
                f"{said(error)}; run again"
            ) from None

    @staticmethod
    def _check_kept(out: Any, oid: str, found: int | None) -> None:
        if found is None:
            raise RemoteError(
                f"{out}: object {oid} is neither in DVC's cache nor in its remote; run again"
            )

    def _put(self, cache: Any, remote: Any, oid: str, name: str) -> None:
        if not _is_sound(cache, oid):
            raise RemoteError(
                f"{name}: object {oid} in DVC's cache is damaged, so it was not pushed; remove "
                f"{cache.oid_to_path(oid)} and run again"
            )
        faults: dict[str, BaseException] = {}
        try:
            if remote.fs.exists(remote.oid_to_path(oid)):
                remote.fs.remove(remote.oid_to_path(oid))
            remote.add(
                cache.oid_to_path(oid),
                cache.fs,
                oid,
                check_exists=False,
                on_error=faults.setdefault,
            )
        except Exception as error:
            faults.setdefault(oid, error)
        if faults:
            raise RemoteError(f"{name}: DVC's remote takes nothing: {said(faults.popitem()[1])}")

    def _refusal(self, out: Any, fault: BaseException) -> RemoteError:
        name = out.remote or self._repo.config["core"].get("remote")
        return RemoteError(
            f"{out}: is to come from DVC's remote {name!r}, which cannot be used: {said(fault)}. "
            "Nothing was changed; check the network, the address (`dvc remote list`) and the "
            "credentials, and run again"
        )


def said(fault: BaseException) -> str:
    """What a library says of a fault, in one line."""
    return " ".join(str(fault).split()) or type(fault).__name__


def _children(out: Any) -> list[str]:
    """Objects of the files of a folder whose list is in the cache; none for a file."""
    if not out.hash_info.isdir or not _is_there(out.cache, str(out.hash_info.value)):
        return []
    return _names(out.cache, out)


def _names(place: Any, out: Any) -> list[str]:
    from dvc_data.hashfile.tree import Tree

    return [str(one.value) for _, _, one in Tree.load(place, out.hash_info)]


def _is_there(cache: Any, oid: str) -> bool:
    return Path(cache.oid_to_path(oid)).is_file()


def _is_sound(cache: Any, oid: str) -> bool:
    from dvc_data.hashfile.hash import file_md5

    found = file_md5(cache.oid_to_path(oid), cache.fs, name=cache.hash_name)
    return bool(found == oid.partition(".")[0])


def _remove(cache: Any, oid: str) -> None:
    Path(cache.oid_to_path(oid)).unlink(missing_ok=True)
