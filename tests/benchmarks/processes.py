"""Benchmarks in a process of their own, which nothing that ran before them has touched."""

import json
import subprocess
import sys
from types import ModuleType
from typing import Any

from tests.conftest import ROOT


def told(by: ModuleType, *asked: str) -> Any:
    """What a module prints as JSON when it is run with these words."""
    command = [sys.executable, "-m", by.__name__, *asked]
    return json.loads(subprocess.check_output(command, cwd=ROOT))
