import pytest
import torch
from torch import nn
from torchvision.models import get_model

from tasks.backbones.conv4 import Conv4
from tasks.backbones.encoder import Encoder
from tasks.pretrain.blocks import blocks
from tasks.pretrain.policy import Policy, PolicyName, transfer_policy


def conv4() -> Encoder:
    return Encoder(Conv4(1, [4, 4, 4, 64]), 64, [0.0], [1.0])


def policy(name: PolicyName, encoder: Encoder) -> Policy:
    return transfer_policy(name, encoder, layer_decay=0.5, unfreeze_every_epochs=2)


def learning(encoder: Encoder) -> list[bool]:
    """Whether each block learns; mode and gradients must agree on it."""
    found = []
    for block in blocks(encoder):
        by_gradient = {parameter.requires_grad for parameter in block.parameters}
        by_mode = {module.training for part in block.modules for module in part.modules()}
        assert len(by_gradient | by_mode) == 1
        found.append(by_mode.pop())
    return found


def test_conv4_names_its_blocks() -> None:
    encoder = conv4()
    assert isinstance(encoder.backbone, Conv4)
    found = blocks(encoder)
    assert [one.modules for one in found] == [(one,) for one in encoder.backbone.blocks]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 5),
        ("mobilenet_v3_small", 14),
        ("convnext_tiny", 8),
        ("vit_b_16", 13),
        ("densenet121", 8),
        ("swin_t", 8),
        ("maxvit_t", 6),
    ],
)
def test_blocks_of_any_network_hold_every_parameter_once(name: str, count: int) -> None:
    with torch.device("meta"):
        network = get_model(name, weights=None)
        *_, head = (path for path, one in network.named_modules() if isinstance(one, nn.Linear))
        network.set_submodule(head, nn.Identity())
        encoder = Encoder(network, 1, [0.0], [1.0])
    found = blocks(encoder)
    assert len(found) == count
    held = [id(parameter) for block in found for parameter in block.parameters]
    assert sorted(held) == sorted(map(id, encoder.parameters()))
    assert all(any(one.ndim > 1 for one in block.parameters) for block in found)


def test_a_normalisation_goes_with_the_block_before_it() -> None:
    network = get_model("resnet18", weights=None)
    stem = blocks(Encoder(network, 512, [0.0], [1.0]))[0]
    assert stem.modules == (network.conv1, network.bn1)


def test_what_learns_in_each_epoch() -> None:
    encoder = conv4()
    nothing, last, every = [False] * 4, [False, False, False, True], [True] * 4
    expected: dict[PolicyName, list[list[bool]]] = {
        "full": [every] * 3,
        "discriminative": [every] * 3,
        "frozen": [nothing] * 3,
        "last_block": [last] * 3,
        "gradual": [nothing, nothing, last, last, [False, False, True, True]],
    }
    for name, epochs in expected.items():
        made = policy(name, encoder)
        assert learning(encoder) == epochs[0], name
        for epoch, wanted in enumerate(epochs):
            made.apply(epoch)
            assert learning(encoder) == wanted, (name, epoch)
    policy("gradual", encoder).apply(8)
    assert learning(encoder) == every
    policy("gradual", encoder).apply(1000)
    assert learning(encoder) == every


def test_discriminative_rates_are_powers_of_the_decay() -> None:
    encoder, head = conv4(), nn.Linear(64, 3)
    groups = policy("discriminative", encoder).groups(head, 0.8)
    assert [group["lr"] for group in groups] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8])
    assert groups[-1]["params"] == list(head.parameters())
    for group, block in zip(groups, blocks(encoder), strict=False):
        assert all(a is b for a, b in zip(group["params"], block.parameters, strict=True))


def test_the_optimizer_is_given_what_will_learn_in_some_epoch() -> None:
    encoder, head = conv4(), nn.Linear(64, 3)
    counts: dict[PolicyName, int] = {
        "full": 14,
        "gradual": 14,
        "discriminative": 14,
        "last_block": 5,
        "frozen": 2,
    }
    for name, count in counts.items():
        groups = policy(name, encoder).groups(head, 1.0)
        assert sum(len(group["params"]) for group in groups) == count, name
