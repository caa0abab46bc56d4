"""The graphs of a bundle against PyTorch, and the int8 encoder against the one in float32.

Two networks: ResNet-18 at 84 px, and the default, Conv4 at 28 px. Their weights are random, which
takes as long as trained ones. Both sides of a ratio get the same images or embeddings and take
turns in one run. PyTorch stands there twice: with images and weights in its usual order (NCHW), as
people write it, and pixel by pixel (channels last), as Headstart runs it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tasks.artifacts.contract import graph_contracts
from tasks.backbones.build import EncoderSpec
from tasks.export.graphs import serialised, trace
from tasks.export.int8_graph import Int8Form
from tasks.export.learned import trace_learner
from tasks.export.modules import Adapt, ImageEncoder
from tasks.export.quantising import calibrate
from tasks.export.samples import drawings
from tasks.export.stage import traced_examples
from tasks.framing.graph import Framing
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec
from tasks.progress import untracked
from tests.benchmarks.epochs import SPEC
from tests.benchmarks.turns import Figure, compared, taking_turns
from tests.small_project import untrained

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("two_threads"),
]

THREADS = 2
ROUNDS = 15
WARM_UP = 3
WAY, SHOT, STEPS = 5, 5, 100
ENCODER_ASKED_FOR = {1: 1.8, 32: 1.2}
INT8_TIME_ASKED_FOR, INT8_SIZE_ASKED_FOR = "2.5", "3.5"
ADAPT_ASKED_FOR = "100"


@dataclass(frozen=True)
class Network:
    name: str
    spec: EncoderSpec
    framing: str
    side_px: int


def networks() -> list[Network]:
    return [
        Network("ResNet-18 at 84 px", EncoderSpec("resnet18", 3, ()), "crop", 84),
        Network("Conv4 at 28 px, the default", SPEC, "ink", 28),
    ]


def session(model: onnx.ModelProto, threads: int = THREADS) -> onnxruntime.InferenceSession:
    """As the client opens it: threads of one session do not spin while another one works."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(serialised(model), options, ["CPUExecutionProvider"])


class Usual(nn.Module):
    """The same encoder with weights and images in PyTorch's usual order of memory."""

    def __init__(self, module: ImageEncoder) -> None:
        super().__init__()
        self.framing = module.framing
        self.mean, self.std = module.encoder.mean, module.encoder.std
        copy = deepcopy(module.encoder.backbone)
        self.backbone = copy.to(memory_format=torch.contiguous_format)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = self.framing(images).permute(0, 3, 1, 2).contiguous().to(torch.float32) / 255
        return self.backbone((pixels - self.mean) / self.std)


@pytest.mark.parametrize("network", networks(), ids=lambda one: one.spec.name)
@torch.no_grad()
def test_encoder(network: Network, figure: Callable[[Figure], None]) -> None:
    side = network.side_px
    module = ImageEncoder(
        Framing(network.framing, side, network.spec.channels), untrained(network.spec)
    ).eval()
    as_people_write_it = Usual(module).eval()
    probe = torch.from_numpy(drawings(2, 2, side, side))
    torch.testing.assert_close(as_people_write_it(probe), module(probe), rtol=1e-3, atol=1e-4)
    contract = graph_contracts(module.encoder.width, 3)["encoder"]
    model = trace(module, contract, traced_examples(contract), name="encoder", about={})
    form = Int8Form(model)
    framed = module.framing(torch.from_numpy(drawings(1, 32, side, side))).numpy()
    small = form.write(calibrate(model, form, framed, untracked))
    wide, narrow = session(model), session(small)
    for batch, asked_for in ENCODER_ASKED_FOR.items():
        images = drawings(2, batch, side, side)
        tensor = torch.from_numpy(images)
        usual, pixelwise, float32, int8 = taking_turns(
            lambda tensor=tensor: as_people_write_it(tensor),
            lambda tensor=tensor: module(tensor),
            lambda images=images: wide.run(None, {"images": images}),
            lambda images=images: narrow.run(None, {"images": images}),
            rounds=ROUNDS if batch > 1 else 5 * ROUNDS,
            warm_up=WARM_UP,
        )
        where = f"{network.name}, batch {batch}, {THREADS} threads, preprocessing included"
        for order, eager in (("NCHW", usual), ("channels last", pixelwise)):
            torch_side = f"eager torch, {order}", eager
            figure(compared(where, f"{asked_for}", torch_side, ("float32", float32)))
        figure(compared(where, INT8_TIME_ASKED_FOR, ("float32", float32), ("int8", int8)))
    sizes = [len(serialised(one)) for one in (model, small)]
    figure(
        compared(
            f"{network.name}, bytes of the encoder",
            INT8_SIZE_ASKED_FOR,
            ("float32", sizes[:1]),
            ("int8", sizes[1:]),
            unit="bytes",
        )
    )
    assert sizes[1] < sizes[0]


def sgd_on_a_head(embeddings: torch.Tensor, labels: torch.Tensor) -> nn.Linear:
    """What one does without a bundle: train a linear layer on the embedded images."""
    head = nn.Linear(embeddings.shape[1], WAY)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(embeddings), labels).backward()
        optimizer.step()
    return head


@pytest.mark.parametrize("dim", [512, 256])
@pytest.mark.parametrize("learner", ["prototype", "cosine", "ridge", "anil"])
def test_learning_five_classes(learner: str, dim: int, figure: Callable[[Figure], None]) -> None:
    module = Adapt(build_learner(LearnerSpec(learner, dim, inner_steps=10)).eval())
    contract = graph_contracts(dim, 3)["adapt"]
    model = trace_learner(module, contract, traced_examples(contract), name="adapt", about={})
    adapt = session(model, threads=1)
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(WAY), SHOT)
    embeddings = rng.standard_normal((WAY * SHOT, dim)).astype(np.float32)
    inputs = {"embeddings": embeddings, "labels": labels, "classes": np.arange(WAY)}
    tensors = torch.from_numpy(embeddings), torch.from_numpy(labels)

    def learn() -> None:
        adapt.run(None, inputs)

    def learn_in_a_row() -> None:
        for _ in range(STEPS):
            learn()

    sgd, once, row = taking_turns(
        lambda: sgd_on_a_head(*tensors), learn, learn_in_a_row, rounds=ROUNDS, warm_up=WARM_UP
    )
    each = [one / STEPS for one in row]
    what = f"{learner}: {WAY} classes from {len(labels)} embeddings of {dim}"
    steps = f"{STEPS} torch SGD steps on a head", sgd
    figure(compared(what, ADAPT_ASKED_FOR, steps, (f"adapt.onnx, {STEPS} in a row, each", each)))
    figure(compared(what, "", steps, ("adapt.onnx, once after that", once)))
    assert np.isfinite(adapt.run(None, inputs)[0]).all()
