"""The README's commands do what it says, run one after the other in a checkout of their own."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tasks.sources import glyphs, typefaces
from tests.conftest import ROOT
from tests.integration.conftest import Server, Toy, checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # every command, one after the other

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.partition("  #")[0].strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.strip()
]


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Iterator[Toy]:
    made = checkout(tmp_path / "project", server)
    for name in ("README.md", "Makefile", "pyproject.toml", "constraints.txt", "sweep.yaml"):
        (made.root / name).write_bytes((ROOT / name).read_bytes())
    # The environment of this test run stands in for the one that make would set up.
    (made.root / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    # Older than the environment, or make would install this checkout over the real one.
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(made.root / name, (0, 0))
    Path(sys.prefix, ".ready").touch()
    _draw_letters(made.root)
    yield made
    made.clean_up()


def _draw_letters(root: Path) -> None:
    letters = {one.codepoint: one for one in typefaces.letters(typefaces.folder(), 4)}
    for name, letter in (("aleph", letters[0x05D0]), ("shin", letters[0x05E9])):
        images = glyphs.render(letter, typefaces.folder(), seed=7, samples=5)
        for number, image in enumerate(images[:4], start=1):
            path = root / "letters" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        path = root / "unknown" / f"{1 if name == 'aleph' else 2}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(images[4]).save(path)


def _serve_until_it_stands(project: Toy, command: str) -> None:
    process = project.start(*shlex.split(command))
    assert process.stdout is not None
    for line in process.stdout:
        if "runs on schedule" in line:
            break
    else:
        pytest.fail(f"{command}: never began to serve")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_every_command_of_the_readme_works_in_order(project: Toy) -> None:
    assert COMMANDS[:2] == ["make run", "make test"]
    for command in COMMANDS:
        if command == ". .venv/bin/activate":
            assert (project.root / ".venv/bin/activate").is_file()
            continue
        if command.startswith("headstart serve"):
            _serve_until_it_stands(project, command)
            continue
        done = subprocess.run(
            # `make test` is what runs this test.
            ["sh", "-c", "make -n test" if command == "make test" else command],
            cwd=project.root,
            env=project.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,  # against a hang: a sweep took 218 s on a slow machine, alone
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command == "make run":
            assert "Setting up" not in done.stdout
            assert "outputs/evaluate/report.html" in done.stdout
            assert "exports/bundle" in done.stdout
    client, graphs = [block for language, block in BLOCKS if language == "python"]
    assert run_python(project, client).startswith("[('aleph', ")
    assert run_python(project, graphs).startswith("[[")


def run_python(project: Toy, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_figure_of_the_readme_is_still_to_be_filled_in() -> None:
    assert not re.findall(r"\b(?:RESULTS|MEASURED|TBD|TODO|XXX)\b", README)


def test_the_readme_names_only_files_that_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
