import torch
from torch import nn
from torch.nn import functional as F

from tasks.backbones.conv4 import Conv4
from tasks.backbones.encoder import Encoder
from tasks.pretrain.distillation import Teacher


def teacher(weight: float = 0.5, temperature: float = 4.0) -> Teacher:
    encoder = Encoder(Conv4(1, [4, 4, 4, 8]), 8, [0.0], [1.0])
    return Teacher(encoder, nn.Linear(8, 5), weight, temperature)


def test_a_teacher_of_no_weight_leaves_the_loss_alone() -> None:
    labelled = torch.tensor(1.25)
    apart = teacher(weight=0.0).loss(torch.randn(6, 5), torch.randn(6, 5), labelled)
    assert torch.equal(apart, labelled)


def test_one_who_agrees_with_the_teacher_pays_nothing() -> None:
    logits = torch.randn(6, 5)
    # Softmax does not see a constant, so neither does agreement.
    loss = teacher(weight=1.0).loss(logits, logits + 3, torch.tensor(9.0))
    assert torch.allclose(loss, torch.tensor(0.0), atol=1e-5)


def test_the_loss_is_the_formula() -> None:
    student, opinion, labelled = torch.randn(6, 5), torch.randn(6, 5), torch.tensor(0.7)
    p, q = (F.softmax(logits / 3, 1).double() for logits in (opinion, student))
    divergence = (p * (p / q).log()).sum(1).mean()
    expected = 0.6 * 0.7 + 0.4 * 9 * divergence
    found = teacher(weight=0.4, temperature=3.0).loss(student, opinion, labelled)
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_a_teacher_is_asked_in_evaluation_mode_and_does_not_learn() -> None:
    made = teacher()
    made.encoder.train()
    before = {key: value.clone() for key, value in made.state_dict()["encoder"].items()}
    opinion = made.logits(torch.rand(4, 1, 16, 16))
    assert not opinion.requires_grad
    after = made.state_dict()["encoder"]
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_teacher_comes_back_from_its_state() -> None:
    first, second = teacher(), teacher()
    second.load_state_dict(first.state_dict())
    images = torch.rand(4, 1, 16, 16)
    assert torch.equal(first.logits(images), second.logits(images))
