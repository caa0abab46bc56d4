"""What stage export does: trained models -> the bundle, checked before it takes its name."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import onnx
import torch

from tasks.artifacts.contract import GOLDEN, INT8, MANIFEST, MODEL_CARD, GraphContract, graph_file
from tasks.artifacts.files import complete_folder, read_json, write_json
from tasks.artifacts.golden import write_golden
from tasks.artifacts.graph_form import check_graph
from tasks.artifacts.image_store import MANIFEST as DATA_MANIFEST
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import BUNDLE, METATRAINED, METRICS, PREPARED
from tasks.artifacts.model_store import read_description
from tasks.backbones.kept import embed_kept
from tasks.export.adaptation import describe_adaptation
from tasks.export.beside import write_client, write_teach_page
from tasks.export.check import verify_bundle
from tasks.export.examples import golden_examples
from tasks.export.graphs import serialised, trace
from tasks.export.learned import learned_in_graphs, trace_learner
from tasks.export.manifest import describe, file_entries, model_card, model_notes
from tasks.export.modules import Adapt, Predict
from tasks.export.parity import measure_parity
from tasks.export.parts import Parts, read_parts
from tasks.export.provenance import provenance
from tasks.export.quantising import quantise
from tasks.export.unknown import calibrate_unknown
from tasks.params import Params
from tasks.progress import Track

logger = logging.getLogger(__name__)


class _Measuring(TypedDict):
    queries: int
    seed: int
    track: Track


# Sizes to trace with: all different, none 0 or 1, which the exporter takes for constants.
_TRACED = {"batch": 3, "height": 40, "width": 53, "support": 7, "way": 4}


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: more of them add up in another order, and leave other last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def export(params: Params, track: Track) -> None:
    """Trace the graphs, write the bundle, and check it; a bundle that fails is not kept.

    Raises:
        DataError: an earlier stage left nothing, or something damaged.
        BundleError: a graph is not what it has to be; the text holds the numbers.
    """
    store = ImageStore(PREPARED)
    parts = read_parts(store)
    learner = read_description(METATRAINED, "metatrain")["learner"]
    metrics = read_json(METRICS, "evaluate")
    notes = model_notes(params.export)
    models = {
        name: _trace(name, parts, notes)
        for name in track(list(parts.modules()), "tracing and checking graphs")
    }
    parity = measure_parity(models, parts, params.seed)
    kind, queries = params.evaluate.protocols[0], params.evaluate.queries
    measuring: _Measuring = {"queries": queries, "seed": params.seed, "track": track}
    adaptation = describe_adaptation(parts, store, kind, **measuring)
    quantised = quantise(models["encoder"], parts, store, params.export, kind, **measuring)
    if quantised.model is not None:
        check_graph(quantised.model, graph_file(INT8), parts.contracts()["encoder"])
        models[INT8] = quantised.model
    unknown = _calibrate(parts, store, params.seed, track)
    with complete_folder(BUNDLE) as folder:
        _write_graphs(folder, models)
        client = write_client(folder)
        write_golden(folder / GOLDEN, golden_examples(parts, params.seed))
        description = describe(
            params.export,
            parts,
            store,
            learner={
                **learner,
                "adaptation": adaptation,
                **learned_in_graphs(models, parts.adapt.learner),
            },
            metrics=metrics,
            parity=parity,
            provenance=provenance(params, PREPARED / DATA_MANIFEST),
            sections={
                "client": client,
                "quantisation": quantised.figures,
                "unknown": unknown,
                "teach_page": write_teach_page(folder, params.export, parts, unknown),
            },
        )
        (folder / MODEL_CARD).write_text(model_card(description), encoding="utf-8")
        write_json(folder / MANIFEST, {**description, "files": file_entries(folder)})
        verify_bundle(folder)
        sizes = [entry["bytes"] for entry in file_entries(folder).values()]
    logger.info("%s: %d files, %.1f MB", BUNDLE, len(sizes) + 1, sum(sizes) / 1e6)


@torch.no_grad()
def _calibrate(parts: Parts, store: ImageStore, seed: int, track: Track) -> dict[str, Any] | None:
    """Section `unknown` of the manifest, from validation classes; None where they are too few."""
    part = store.read("validation")
    embeddings = embed_kept(parts.encoder.encoder, part.images)
    return calibrate_unknown(parts.adapt.learner, embeddings, part.labels, seed=seed, track=track)


def _trace(name: str, parts: Parts, notes: Mapping[str, str]) -> onnx.ModelProto:
    contract = parts.contracts()[name]
    module, examples, title = parts.modules()[name], traced_examples(contract), f"headstart_{name}"
    if isinstance(module, Adapt | Predict):
        model = trace_learner(module, contract, examples, name=title, about=notes)
    else:
        model = trace(module, contract, examples, name=title, about=notes)
    check_graph(model, graph_file(name), contract)
    return model


def traced_examples(contract: GraphContract) -> list[torch.Tensor]:
    """One tensor for each input of a graph, to trace it with."""
    return [
        torch.zeros(
            [_TRACED[size] if isinstance(size, str) else size for size in tensor.shape],
            dtype=getattr(torch, tensor.dtype),
        )
        for tensor in contract.inputs
    ]


def _write_graphs(folder: Path, models: Mapping[str, onnx.ModelProto]) -> None:
    for name, model in models.items():
        (folder / graph_file(name)).write_bytes(serialised(model))
