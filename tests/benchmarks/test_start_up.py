"""What it takes to be told how the command line is used."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.benchmarks.turns import Figure, taking_turns

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

HEADSTART = Path(sys.executable).with_name("headstart")


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_help_against_an_empty_program(figure: Callable[[Figure], None]) -> None:
    told, empty = taking_turns(
        lambda: run(HEADSTART, "--help"), lambda: run(sys.executable, "-c", "pass"), rounds=21
    )
    figure(
        Figure(
            "seconds that `headstart --help` takes longer than `python -c pass`",
            "0.35 or less",
            median(told) - median(empty),
            "s",
            {"headstart --help": told, "python -c pass": empty},
        )
    )


def test_help_imports_neither_torch_nor_prefect() -> None:
    code = (
        "import sys, flows.cli; "
        "print({'torch', 'prefect', 'dvc', 'numpy', 'onnxruntime'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
