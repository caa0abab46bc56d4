"""The page of a bundle with an int8 encoder answers as Python does with the same encoder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from tasks.artifacts.contract import TEACH_PAGE
from tasks.artifacts.layout import BUNDLE
from tasks.export.stage import export
from tasks.fewshot import FewShotClassifier
from tasks.progress import untracked
from tests.conftest import write_params
from tests.integration.teach.lessons import NAMES, SHOT, asked, read_head, save_head
from tests.small_project import SIDE_PX, write_project
from tests.teach_page import open_page, pinned_runtime

pytestmark = pytest.mark.slow

INT8 = "encoder.int8.onnx"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As stage export makes it."""
    pinned_runtime()
    folder = tmp_path_factory.mktemp("int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project(folder, input_size_px=SIDE_PX, flat=True)  # as the default's network
        export(write_params(folder, {"export": {"teach_page": True}}), untracked)
        yield folder / BUNDLE


def test_the_page_and_python_give_the_same_answers_with_the_int8_encoder(
    browser: Browser, bundle: Path, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    client = FewShotClassifier(bundle, encoder=INT8)
    queries = asked(digits)
    with open_page(browser, bundle / TEACH_PAGE) as teach:
        for name in NAMES:
            client.enroll(name, digits[name][:SHOT])
            teach.add(name, digits[name][:SHOT])
        teach.button("Save head").wait_for()
        head = save_head(teach, tmp_path / "head.npz")
        teach.page.get_by_text("When to answer “unknown”").click()
        teach.page.get_by_label("Answer “unknown” where nothing fits").uncheck()
        teach.ask(queries)
        answers = teach.answers()
        assert not teach.faults
    expected = [ranking[0][0] for ranking in client.predict(queries)]
    assert set(expected) == set(NAMES)
    same = [answers[path.name] == name for path, name in zip(queries, expected, strict=True)]
    assert np.mean(same) >= 0.99
    assert read_head(head)["meta"]["embedded_by"] == INT8
    shown = [path for name in NAMES for path in digits[name][:SHOT]]
    rows, found = client.embed(shown), read_head(head)["embeddings"]
    cosines = (rows * found).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(found, axis=1)
    assert cosines.min() > 0.99
    assert FewShotClassifier.load(bundle, head).classes == client.classes
