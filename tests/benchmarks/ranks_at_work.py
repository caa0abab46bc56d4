"""Steps of the default network, timed in each process of a training; see `test_ranks_speed.py`."""

import os
import time
from dataclasses import replace
from pathlib import Path

import torch

from tasks.artifacts.files import write_json
from tasks.backbones.build import build
from tasks.heads.classifier import build_classifier
from tasks.memory import keep_freed_memory
from tasks.params.pretrain import Pretrain
from tasks.pretrain.trainer import build_trainer
from tasks.pretrain.training import batches
from tasks.progress import Track, untracked
from tasks.ranks.group import ALONE, Ranks
from tests.benchmarks.epochs import SPEC
from tests.conftest import bars

CLASSES = 64
WARM_UP = 3


def time_steps(
    file: Path, section: Pretrain, steps: int, meet: bool, track: Track, ranks: Ranks = ALONE
) -> None:
    """Write the seconds of each of `steps` steps, and of processor time that they took.

    Ranks that do not meet train each a model of its own on its part of every batch: what several
    processes could do at best.
    """
    keep_freed_memory()
    base = bars("base", CLASSES, 20, 28)
    torch.manual_seed(0)
    encoder = build(SPEC)
    classifier = build_classifier(section.classifier, encoder.width, CLASSES)
    trainer = build_trainer(
        section, encoder, classifier, base, 1, untracked, ranks=ranks if meet else ALONE
    )
    seconds, worked = [], []
    every = batches(len(base.images), section.batch_size, 1000, seed=1)
    for number, whole in zip(range(WARM_UP + steps), every, strict=False):
        own = slice(None) if meet else ranks.rows(len(whole.images))
        batch = replace(whole, images=whole.images[own])
        began, before = time.perf_counter(), _processor_s()
        loss = trainer.step(batch, number)
        seconds.append(time.perf_counter() - began)
        worked.append(_processor_s() - before)
    told = {"seconds": seconds[WARM_UP:], "processor": worked[WARM_UP:], "loss": loss}
    write_json(file.with_suffix(f".{ranks.number}.json"), told)


def _processor_s() -> float:
    used = os.times()
    return used.user + used.system
