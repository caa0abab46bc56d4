"""Collects what the benchmarks find: one table at the end, and a file where one is asked for."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tasks.artifacts.layout import BUNDLE
from tests.benchmarks.turns import Figure, spread
from tests.conftest import GOLDEN_BUNDLE, ROOT
from tests.integration.conftest import server, toy, toy_alone, toy_template
from tests.threads import torch_threads

# One server and one template for all benchmarks that run flows.
__all__ = ["server", "toy", "toy_alone", "toy_template"]

_FOUND = pytest.StashKey[list[Figure]]()
_VERSIONS = ("torch", "numpy", "onnxruntime", "easyfsl")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", type=Path, help="write what the benchmarks find, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FOUND] = []


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Callable[[Figure], None]:
    """Puts a line into the table."""
    return pytestconfig.stash[_FOUND].append


@pytest.fixture
def two_threads() -> Iterator[None]:
    with torch_threads(2):
        yield


@pytest.fixture(scope="session")
def bundle() -> Path:
    """That of the last run; `HEADSTART_BENCH_BUNDLE` names another.

    Where there is neither, it is the small one kept with the tests.
    """
    made = ROOT / BUNDLE
    named = os.environ.get("HEADSTART_BENCH_BUNDLE")
    return Path(named) if named else made if made.is_dir() else GOLDEN_BUNDLE


def pytest_terminal_summary(config: pytest.Config) -> None:
    found = config.stash[_FOUND]
    if not found:
        return
    table = Table("what", "sides: median (quartiles, rounds)", "ratio", "asked for")
    for one in found:
        sides = "\n".join(
            f"{name}: {spread(values)} {one.unit}" for name, values in one.values.items()
        )
        table.add_row(one.what, sides, f"{one.ratio:.3g}", one.asked_for)
    Console(width=150).print(table)
    if path := config.getoption("figures"):
        about = {name: version(name) for name in _VERSIONS} | {"python": platform.python_version()}
        content = {"versions": about, "figures": [asdict(one) for one in found]}
        Path(path).write_text(json.dumps(content, indent=1) + "\n")
