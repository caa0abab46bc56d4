"""What a bundle promises: its files, its graphs, and the meaning of every tensor.

Names, types and meaning change only together with `FORMAT`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

FORMAT = 1
OPSET = 18
IR_VERSION = 8

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
MODEL_CARD = "MODEL_CARD.md"
CLIENT = "fewshot.py"
TEACH_PAGE = "teach.html"

INT8 = "encoder.int8"  # a graph that a bundle may lack

# How far a replay may lie from golden.npz, as a share of the largest value expected. Framing
# rounds to grey levels: on another processor a tie may fall the other way and move an embedding
# a little. The other graphs hold no rounding.
GOLDEN_TOLERANCE: Mapping[str, float] = {
    "encoder": 1e-2,
    "adapt": 1e-4,
    "predict": 1e-4,
    "classifier": 1e-2,
}


@dataclass(frozen=True)
class TensorContract:
    """One input or output of a graph.

    Attributes:
        name: of the tensor.
        dtype: as NumPy calls it.
        shape: sizes of its axes; a name stands for any size.
        meaning: what it holds, with its range.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class GraphContract:
    """One graph of the bundle.

    Attributes:
        purpose: what it is for.
        inputs: in order.
        outputs: in order.
    """

    purpose: str
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]

    def as_json(self, file: str) -> dict[str, Any]:
        """The same as a JSON object, with the file that holds the graph."""
        return {"file": file, **asdict(self)}


def graph_file(name: str) -> str:
    """The file that holds a graph."""
    return f"{name}.onnx"


def known_files() -> frozenset[str]:
    """Every file that may stand in a bundle; a bundle may lack some."""
    graphs = map(graph_file, (*GOLDEN_TOLERANCE, INT8))
    return frozenset((MANIFEST, GOLDEN, MODEL_CARD, CLIENT, TEACH_PAGE, *graphs))


def promised_files(manifest: Mapping[str, Any]) -> frozenset[str]:
    """The files that a manifest promises; the first bundles of this format had no client.

    Args:
        manifest: of a bundle; its sections may be of any type.
    """
    promised = {GOLDEN, *map(graph_file, GOLDEN_TOLERANCE)}
    if {"client", "quantisation", "unknown"} & set(manifest):
        promised |= {CLIENT, MODEL_CARD}
    for section in ("client", "quantisation", "teach_page"):
        told = manifest.get(section)
        file = told.get("file") if isinstance(told, Mapping) else None
        if file is not None:
            promised.add(str(file))
    return frozenset(promised)


def graph_contracts(
    dim: int, base_classes: int, feature_dim: int | None = None
) -> dict[str, GraphContract]:
    """The contract of every graph, by name.

    Args:
        dim: length of an embedding.
        base_classes: how many classes the plain classifier knows.
        feature_dim: length of what `predict` makes of an embedding before it applies the weight;
            None where that is `dim`, as with all learners but those that project.
    """
    images = TensorContract(
        "images",
        "uint8",
        ("batch", "height", "width", 3),
        "RGB as decoded, 0..255, of any height and width; all preprocessing is in the graph",
    )
    weight = TensorContract("weight", "float32", ("way", feature_dim or dim), "one row a class")
    bias = TensorContract("bias", "float32", ("way",), "-inf for a class without support")
    return {
        "encoder": GraphContract(
            "Turns images into embeddings.", (images,), (_embeddings("batch", dim),)
        ),
        "adapt": GraphContract(
            "Learns classes from the embeddings of a few images each.",
            (
                _embeddings("support", dim),
                TensorContract(
                    "labels",
                    "int64",
                    ("support",),
                    "class of each row; one that is not in classes is ignored",
                ),
                TensorContract("classes", "int64", ("way",), "labels to tell apart, all different"),
            ),
            (weight, bias),
        ),
        "predict": GraphContract(
            "Tells the learned classes apart.",
            (_embeddings("batch", dim), weight, bias),
            (
                TensorContract(
                    "logits",
                    "float32",
                    ("batch", "way"),
                    "scores, higher is likelier; -inf without support",
                ),
                TensorContract(
                    "probabilities",
                    "float32",
                    ("batch", "way"),
                    "softmax of the logits: 0 for a class without support, rows sum to 1; all 0 "
                    "where no class has support",
                ),
            ),
        ),
        "classifier": GraphContract(
            "The plain transfer-learning model: tells the base classes apart.",
            (images,),
            (
                TensorContract(
                    "probabilities",
                    "float32",
                    ("batch", base_classes),
                    "rows sum to 1; columns in the order of base_classes in the manifest",
                ),
            ),
        ),
    }


def with_int8(contracts: Mapping[str, GraphContract], present: bool) -> dict[str, GraphContract]:
    """The same contracts, and where a bundle has an int8 encoder, that of it too."""
    purpose = "The encoder in whole numbers: smaller, mostly faster, all but as exact."
    more = {INT8: replace(contracts["encoder"], purpose=purpose)} if present else {}
    return {**contracts, **more}


def _embeddings(rows: str, dim: int) -> TensorContract:
    meaning = "one row an image, to be compared through adapt and predict only"
    return TensorContract("embeddings", "float32", (rows, dim), meaning)
