"""Every check of a bundle, one after the other: `python -m tasks.artifacts.bundle_checks FOLDER`.

What a bundle from elsewhere holds may be made to do harm, so this runs in a process of its own with
a bounded share of memory and time, and without PyTorch; `tasks.artifacts.verification` starts it.
It writes one JSON object a line: `{"begun": subject}` before a check, and
`{"subject", "ok", "words", "warning"}` after it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import onnx

import tasks.fewshot
from tasks.artifacts import file_checks, graph_form, graph_runs
from tasks.artifacts.bundle import Bundle
from tasks.artifacts.bundle_files import read_manifest
from tasks.artifacts.contract import (
    CLIENT,
    GOLDEN,
    GOLDEN_TOLERANCE,
    INT8,
    MANIFEST,
    TEACH_PAGE,
    GraphContract,
    graph_contracts,
    graph_file,
    with_int8,
)
from tasks.artifacts.golden import replay_bundle
from tasks.errors import BundleError, HeadstartError
from tasks.lifeline import bind_to_parent

T = TypeVar("T")
_SIDE_PX = 40  # of the images that the client is tried on


class Sheet:
    """Notes what was checked and found.

    Args:
        tell: takes what the module's text says of its lines.
    """

    def __init__(self, tell: Callable[[dict[str, object]], None]) -> None:
        self._tell = tell
        self.sound = True

    def check(self, subject: str, work: Callable[[], T], words: str = "") -> T | None:
        """Do one piece of work; a fault is noted, and gives None.

        Args:
            subject: what is checked.
            work: its result is told where it is text, and `words` otherwise.
            words: what a result says that is no text.
        """
        self._tell({"begun": subject})
        try:
            result = work()
        except HeadstartError as error:
            self._note(subject, False, str(error))
        except Exception as error:  # a file made to break its reader breaks it somewhere
            reason = " ".join(str(error).split())[:300]
            self._note(subject, False, f"{type(error).__name__}: {reason}")
        else:
            told = result if isinstance(result, str) else words
            self._note(subject, True, told, isinstance(result, file_checks.Warned))
            return result
        return None

    def _note(self, subject: str, ok: bool, words: str, warning: bool = False) -> None:
        self.sound = self.sound and ok
        self._tell({"subject": subject, "ok": ok, "words": words, "warning": warning})


def check_bundle(folder: Path, sheet: Sheet) -> None:
    """Check everything, from what is safe to look at to what has to be run.

    Graphs with a fault in their form are not run, nor is anything beside a damaged file.
    """
    read = partial(read_manifest, folder)
    manifest = sheet.check(MANIFEST, read, "a bundle of a format that is known")
    if manifest is None:
        return
    listed = frozenset(manifest["files"])
    sheet.check(MANIFEST, partial(file_checks.promises, manifest))
    sheet.check("folder", partial(file_checks.no_others, folder, listed | {MANIFEST}))
    if not sheet.sound:  # nor is a file opened that has no place here
        return
    contents: dict[str, bytes] = {}
    for name, entry in manifest["files"].items():
        sheet.check(name, partial(file_checks.read, folder, name, entry["sha256"], contents))
    if not sheet.sound:
        return
    for name, look in ((CLIENT, file_checks.client), (TEACH_PAGE, file_checks.page)):
        if name in listed:
            sheet.check(name, partial(look, folder))
    contracts = graph_contracts(
        manifest["embedding_dim"],
        len(manifest["base_classes"]),
        manifest.get("feature_dim", manifest["embedding_dim"]),
    )
    contracts = with_int8(contracts, graph_file(INT8) in contents)
    for name in sorted(contents):
        if name.endswith(".onnx"):
            _check_form(name, contents[name], contracts, sheet)
    contents.clear()
    if sheet.sound:
        _check_runs(Bundle(folder, threads=1), sheet)
    if sheet.sound:
        side_px = min(_SIDE_PX, manifest["limits"]["maximum_image_side_px"])
        for graph in ("encoder", INT8):
            if graph in contracts:
                sheet.check("client", partial(_use_client, folder, graph_file(graph), side_px))
        sheet.check("runtime", _without_torch)


def _check_form(
    name: str, content: bytes, contracts: dict[str, GraphContract], sheet: Sheet
) -> None:
    contract = next((one for key, one in contracts.items() if graph_file(key) == name), None)
    if contract is None:
        sheet.check(name, partial(_refuse_unknown, name))
        return
    model = sheet.check(
        name, partial(graph_form.parse, content, name), "all weights inside, standard domain alone"
    )
    if model is None:
        return
    for check in _form_checks(model, name, contract):
        if sheet.check(name, check) is None:
            return


def _form_checks(
    model: onnx.ModelProto, name: str, contract: GraphContract
) -> Iterator[Callable[[], str]]:
    for check in graph_form.CHECKS:
        yield partial(check, model, name)
    yield partial(graph_form.check_contract, model, name, contract)


def _refuse_unknown(name: str) -> None:
    raise BundleError(f"{name}: found a graph that no contract knows, needed none")


def _check_runs(bundle: Bundle, sheet: Sheet) -> None:
    replayed = sheet.check(GOLDEN, partial(replay_bundle, bundle), "every example was replayed")
    for output, share in (replayed or {}).items():
        graph, _, tensor = output.partition(".")
        limit = GOLDEN_TOLERANCE[graph]
        told = f"{tensor}: within {share:.0e} of the largest value expected, limit {limit:.0e}"
        sheet.check(graph_file(graph), partial(str, told))
    images = [graph for graph in ("encoder", "classifier", INT8) if graph in bundle.contracts]
    for graph in images:
        for check in (graph_runs.images_of_many_sizes, graph_runs.images_alone_and_together):
            sheet.check(graph_file(graph), partial(check, bundle, graph))
    both = "adapt.onnx, predict.onnx"
    sheet.check(both, partial(graph_runs.ways_and_shots, bundle))
    sheet.check("adapt.onnx", partial(graph_runs.stray_labels, bundle))
    sheet.check("adapt.onnx", partial(graph_runs.other_names_and_orders, bundle))
    if INT8 in bundle.contracts:
        sheet.check(graph_file(INT8), partial(graph_runs.int8_is_near, bundle))


def _use_client(folder: Path, encoder: str, side_px: int) -> str:
    """The client of this version takes the bundle, with one of its encoders."""
    try:
        model = tasks.fewshot.FewShotClassifier(folder, encoder=encoder, threads=1)
        first, second = graph_runs.pictures(2, side_px, side_px)
        model.enroll_all({"first": first, "second": second})
        model.predict(second)
    except tasks.fewshot.FewShotError as error:
        raise BundleError(str(error)) from None
    return f"FewShotClassifier learns and predicts with {encoder}"


def _without_torch() -> str:
    if "torch" in sys.modules:
        raise BundleError("the graphs ran with torch imported, needed a process without it")
    return "all of this ran without PyTorch"


def _limit(memory_bytes: int) -> None:
    """Bound what this process may take; it may write no file at all."""
    try:
        import resource
    except ImportError:  # a system that has no such limits
        return
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError):  # macOS knows no RLIMIT_AS that it keeps
            continue


def main() -> None:
    """Check the bundle named on the command line, within the bytes of memory named after it."""
    bind_to_parent()
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tasks.artifacts.bundle_checks FOLDER BYTES")
    # Whatever else writes to stdout, such as a library's warning, must not stand between the lines.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _limit(int(sys.argv[2]))

    def tell(line: dict[str, object]) -> None:
        lines.write(json.dumps(line) + "\n")
        lines.flush()

    check_bundle(Path(sys.argv[1]), Sheet(tell))
    tell({"done": True})


if __name__ == "__main__":
    main()
