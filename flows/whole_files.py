"""Has DVC write its two files of the project whole: a kill or a full disk leaves what stood there.

DVC opens `dvc.lock` and `.dvc/tmp/rwlock` for writing in place, so they are empty until it is done;
it reads neither again once it was killed in that moment. Decision 32 says why this is done here.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.artifacts.files import write_whole

DVC_FILES = ("dvc.lock", "rwlock")


def let_dvc_write_whole_files() -> None:
    """From now on, in this process, DVC's own files take the place of those before at once."""
    from dvc_objects.fs.local import LocalFileSystem

    in_place: Any = LocalFileSystem.open

    def open_whole(self: LocalFileSystem, path: str, mode: str = "r", **options: Any) -> Any:
        if mode.startswith("w") and Path(path).name in DVC_FILES:
            return _whole(Path(path))
        return in_place(self, path, mode, **options)

    LocalFileSystem.open = open_whole  # type: ignore[assignment, method-assign]


@contextmanager
def _whole(path: Path) -> Iterator[io.StringIO]:
    """What is written in the block, and takes its place if the block ends well."""
    text = io.StringIO()
    yield text
    write_whole(path, text.getvalue())
