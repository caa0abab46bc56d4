"""The project under fault for single tests: released once, on a server that several share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import invariants
from tests.faults.invariants import Released, take_released
from tests.faults.kills import end_all
from tests.faults.many import prepare_template
from tests.faults.project import Clean, FaultProject
from tests.faults.series import source
from tests.integration.conftest import Server, server

__all__ = ["server"]

NONE: frozenset[int] = frozenset()


@dataclass
class Faulty:
    """A project, its release, and what clean runs give.

    Attributes:
        project: stands on the data `clean[0]`; its source says `clean[1]`, which no run has seen.
        released: as it was made.
        clean: by the data.
    """

    project: FaultProject
    released: Released
    clean: list[Clean]

    def check(self, services: frozenset[int] = NONE) -> None:
        """All that must hold as soon as the fault is over, when none works but the services."""
        assert invariants.lost_release(self.project, self.released) == []
        assert invariants.lost_bytes(self.project, self.released) == 0
        assert invariants.bundle_fault(self.project) == ""
        assert invariants.untrue_entries(self.project, *self.clean) == []
        assert invariants.held_locks(self.project) == []
        assert invariants.working(self.project, set(services)) == {}

    def check_next_run(self, *words: str, state: int = 1, services: frozenset[int] = NONE) -> None:
        """The next run succeeds without a hand, and leaves what a clean run leaves."""
        code, output = self.project.run(*(words or ("headstart", "run")))
        assert code == 0, output
        assert self.project.lock_bytes() == self.clean[state].lock
        assert self.project.outputs() == self.clean[state].outputs
        assert list(invariants.leftovers(self.project)) == []
        self.check(services)
        verified, told = self.project.run("headstart", "verify", "released/bundle")
        assert verified == 0, told


@pytest.fixture(scope="session")
def released_template(
    tmp_path_factory: pytest.TempPathFactory, server: Server
) -> tuple[Path, list[Clean]]:
    folder = tmp_path_factory.mktemp("faults") / "template"
    return folder, prepare_template(folder, states=3, api=server.api)


@pytest.fixture
def open_faulty(
    released_template: tuple[Path, list[Clean]], server: Server
) -> Iterator[Callable[[Path], Faulty]]:
    """Makes a copy of the released project in a folder that does not exist, or is empty."""
    template, clean = released_template
    opened: list[FaultProject] = []

    def make(folder: Path) -> Faulty:
        shutil.copytree(template, folder, symlinks=True, dirs_exist_ok=True)
        project = FaultProject(folder.resolve(), server.api)
        opened.append(project)
        released = take_released(project)
        project.forget_runs(project.objects(clean[0].entries) | released.objects)
        project.write_source(source(1))
        return Faulty(project, released, clean)

    yield make
    for project in opened:
        end_all(project)


@pytest.fixture
def faulty(open_faulty: Callable[[Path], Faulty], tmp_path: Path) -> Faulty:
    return open_faulty(tmp_path / "one")
