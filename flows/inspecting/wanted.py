"""What the command line of `headstart inspect` names: images, a project, a bundle."""

import os
from dataclasses import dataclass
from pathlib import Path

from flows.inspecting.starting import Base, Where, read_base
from flows.project import enter_project
from tasks.artifacts.bundle import Bundle
from tasks.artifacts.layout import BUNDLE
from tasks.errors import BundleError, DataError, ParametersError
from tasks.params import PARAMS_FILE, SOURCES_WITH_ROOT
from tasks.sources.find import find_images
from tasks.sources.found import Found
from tasks.sources.names import shown

_SHIPPED = Path(__file__).parents[2] / PARAMS_FILE  # in a checkout, from which it is installed


@dataclass(frozen=True)
class Wanted:
    """What the command line says.

    Attributes:
        path: as `prepare.root`.
        source: as `prepare.source`.
        dataset: of source torchvision.
        images: how many to look into at most.
        bundle: a bundle that must be there; None takes the usual one if it is there.
        page: where to write a page.
        recipe: where to write overrides to start with.
        replace: whether a file may be there already.
        timing: whether to time steps of training.
    """

    path: str
    source: str
    dataset: str
    images: int
    bundle: Path | None
    page: Path | None
    recipe: Path | None
    replace: bool
    timing: bool


def where(wanted: Wanted) -> Where:
    """The place of the images, as `prepare` is to be told it.

    Raises:
        ParametersError: the source has no place, or none of its own.
    """
    if wanted.source not in SOURCES_WITH_ROOT:
        raise ParametersError(
            f"--source: found {wanted.source}, needed one of {', '.join(SOURCES_WITH_ROOT)}"
        )
    if (wanted.source == "torchvision") != bool(wanted.dataset):
        raise ParametersError(
            "--dataset: names a dataset of --source torchvision; needed both or neither"
        )
    if "://" in wanted.path:
        return Where(wanted.source, wanted.path, wanted.dataset)
    return Where(wanted.source, str(Path(_local(wanted.path)).absolute()), wanted.dataset)


def _local(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111  (the other way fails on unknown users)


def find(wanted: Wanted) -> Found:
    """List the images; nothing is downloaded.

    Raises:
        DataError: they cannot be read, or are not arranged as the source needs them.
    """
    root = wanted.path if "://" in wanted.path else _local(wanted.path)
    if wanted.source in ("omniglot", "torchvision") and "://" not in root:
        _check_there(Path(root))
    return find_images(
        wanted.source,
        root,
        rotated_classes=False,
        dataset=wanted.dataset,
        download=False,
        fake_classes=0,
        fake_images=0,
        fake_image_size_px=0,
    )


def _check_there(root: Path) -> None:
    """These sources fill a place that is empty; to look is no reason for that."""
    try:
        empty = not root.exists() or (root.is_dir() and not any(root.iterdir()))
    except OSError as error:
        raise DataError(f"{shown(str(root))}: cannot be read: {error.strerror}") from None
    if empty:
        raise DataError(
            f"{shown(str(root))}: nothing there to look at; `headstart run` downloads it"
        )


def project_params() -> tuple[Base | None, Path | None, str]:
    """The params of the project here or above, or of the checkout this is installed from.

    Returns:
        The params, the project's root, and why params that are there do not count.
    """
    here = Path.cwd()
    project: Path | None = None
    try:
        project = enter_project()
    except DataError:  # images may stand anywhere
        pass
    finally:
        os.chdir(here)
    file = project / PARAMS_FILE if project else _SHIPPED
    if not file.is_file():
        return None, project, ""
    try:
        return read_base(file), project, ""
    except ParametersError as error:
        first = str(error).splitlines()[0]
        return None, project, f"{first}; until that is mended, nothing is checked against it"


def usual_bundle(named: Path | None, project: Path | None) -> tuple[Bundle | None, str]:
    """The bundle that compares images, and why there is none.

    Args:
        named: one that must be there; None takes that of this folder or of the project.
        project: its root, if there is one.

    Raises:
        BundleError: the one that is named is missing or damaged.
    """
    if named is not None:
        return Bundle(named), ""
    folder = BUNDLE if project is None or BUNDLE.is_dir() else project / BUNDLE
    if not folder.is_dir():
        return None, ""
    try:
        return Bundle(folder), ""
    except BundleError as error:
        return None, f"no bundle compares the images: {str(error).splitlines()[0]}"
