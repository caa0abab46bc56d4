from typing import Any

import pytest


@pytest.fixture
def metrics() -> dict[str, Any]:
    """What `evaluate` writes, with one protocol."""
    return {
        "episodes": 1000,
        "queries": 15,
        "results": {
            "novel_5way_1shot": {
                "domain": "novel",
                "way": 5,
                "shot": 1,
                "accuracy": {"random": 0.41, "transfer": 0.98, "meta": 0.985},
                "interval95": {"random": 0.006, "transfer": 0.002, "meta": 0.002},
                "gain": {"meta_over_transfer": {"mean": 0.005, "interval95": 0.001}},
            }
        },
    }
