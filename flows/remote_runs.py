"""DVC's record of runs on the remote: what a stage made before, of the same inputs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.remote_objects import RemoteObjects


class RemoteRuns:
    """The entries of one stage, here and on the remote.

    An entry says which objects a stage made of its inputs, and is named after the hash of what it
    says. DVC reads it without a look at that hash: one that was cut short or changed would put
    something else into place, so it is compared before it comes here.

    Args:
        repo: DVC's.
        objects: of its remote.
        tell: is called with lines for people.
    """

    def __init__(self, repo: Any, objects: RemoteObjects, tell: Callable[[str], None]) -> None:
        self._repo = repo
        self._objects = objects
        self._tell = tell

    def outs(self, stage: Any) -> list[Any]:
        """What the stage made of its inputs as they stand; nothing if nobody knows.

        Raises:
            RemoteError: the remote cannot be asked.
        """
        from dvc.stage.cache import _can_hash, _get_stage_hash

        stage.save_deps()
        if not _can_hash(stage):
            return []
        key = _get_stage_hash(stage)
        cache = self._repo.stage_cache
        folder = Path(cache._get_cache_dir(key))
        if not folder.is_dir():
            self._fetch(key, folder)
        entry = cache._load(stage)
        return list(cache._create_stage(entry, wdir=stage.wdir).outs) if entry else []

    def _fetch(self, key: str, folder: Path) -> None:
        if not self._repo.config["core"].get("remote"):
            return
        try:
            remote = self._repo.cloud.get_remote_odb(None, "fetch", hash_name="md5-dos2unix")
            place = remote.fs.join(remote.path, "runs", key[:2], key)
            found = list(remote.fs.find(place)) if remote.fs.exists(place) else []
        except Exception:  # each store has its own; without an entry the stage simply runs
            self._tell("the remote does not say what others made of the same inputs")
            return
        for path in found:
            self._fetch_one(remote, path, folder)

    def _fetch_one(self, remote: Any, path: str, folder: Path) -> None:
        name = remote.fs.name(path)
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder.parent / f".{name}.{os.getpid()}"
        try:
            remote.fs.get_file(path, str(partial))
            if _is_sound(partial, name):
                self._objects.fetched.objects += 1
                self._objects.fetched.bytes += partial.stat().st_size
                partial.replace(folder / name)
            else:
                self._tell(f"{path}: damaged on the remote; it is not used")
        except Exception:  # likewise
            self._tell(f"{path}: cannot be fetched; the stage runs instead")
        finally:
            partial.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()


def _is_sound(path: Path, name: str) -> bool:
    """Whether an entry says what its name is the hash of."""
    from dvc.stage.cache import _get_cache_hash
    from dvc.utils.serialize import load_yaml

    try:
        return bool(_get_cache_hash(load_yaml(str(path))) == name)
    except Exception:  # no YAML, no text, or no mapping
        return False
