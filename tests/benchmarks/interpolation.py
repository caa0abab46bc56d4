"""How far to go from pretrain's weights to meta-training's.

    python -m tests.benchmarks.interpolation

From the project's root, after `headstart run`. Takes what stage pretrain wrote, meta-trains it as
params.yaml says with several seeds, and scores at each checkpoint what each `interpolation` would
keep: on the episodes that choose the checkpoint, and on the same 1,000 episodes of each protocol
as every other. The checkpoint is then chosen as the stage chooses it. Differences are from
pretrain's own weights, episode by episode, and their intervals are over the episodes of all seeds:
95 %, by Student's t.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks import optimisation
from tasks.artifacts.image_store import ImageStore, Part
from tasks.artifacts.layout import PREPARED, PRETRAINED
from tasks.backbones.build import read_encoder
from tasks.backbones.encoder import embed
from tasks.episodes.augmentation import Augmentation
from tasks.episodes.sampler import Pool
from tasks.learners.learner import as_learner
from tasks.learners.scoring import episode_accuracies
from tasks.learners.selection import validation_selector
from tasks.metatrain.build import learner_spec, outer_loop
from tasks.metatrain.outer_loop import OuterLoop
from tasks.params import Params
from tasks.params_file import load_params
from tasks.statistics import estimate

SHARES = (0.25, 0.5, 0.75, 1.0)
EPISODES = 1000
PROTOCOLS = (
    ("novel", 5, 1),
    ("novel", 5, 5),
    ("novel", 20, 1),
    ("novel", 20, 5),
    ("digits", 5, 1),
    ("digits", 5, 5),
)

Accuracies = dict[str, NDArray[np.float64]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    given = parser.parse_args()
    started = time.monotonic()
    optimisation.deterministic()
    params, store = load_params(), ImageStore(PREPARED)
    parts = {name: store.read(name) for name in ("base", "validation", "novel", "digits")}
    runs = [
        _run(params.model_copy(update={"seed": seed}), parts)
        for seed in range(params.seed, params.seed + given.seeds)
    ]
    found = {str(share): _summary([run[share] for run in runs]) for share in SHARES}
    settings = {"seeds": given.seeds, "episodes": EPISODES, "threads": torch.get_num_threads()}
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    seconds = round(time.monotonic() - started)
    told = {"settings": settings, "versions": versions, "seconds": seconds, "interpolation": found}
    given.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for share, row in found.items():
        differences = "  ".join(
            f"{name} {one['difference']:+.2f} ± {one['interval95']:.2f}"
            for name, one in row["protocols"].items()
        )
        print(f"{share}: validation {row['validation']} at {row['kept']}  {differences}")


def _run(params: Params, parts: dict[str, Part]) -> dict[float, dict[str, Any]]:
    """One meta-training: for each share the checkpoint that would be kept."""
    section = params.metatrain
    encoder = read_encoder(PRETRAINED, "pretrain")
    spec = learner_spec(section, encoder)
    loop = outer_loop(section, encoder, spec, parts["base"], params.seed)
    selector = validation_selector(
        parts["validation"],
        Augmentation(**section.augmentation.model_dump()),
        **section.selection.model_dump(),
        seed=params.seed,
    )
    start = _accuracies(loop, parts)
    encoder, learner = loop.kept
    score = selector.score(0, encoder, learner=learner)
    nothing = {name: np.zeros_like(each) for name, each in start.items()}
    best = {share: {"validation": score, "kept": 0, **nothing} for share in SHARES}
    pool = Pool(parts["base"].labels)
    for number in range(section.steps):
        episodes = pool.draw(
            number * section.meta_batch,
            section.meta_batch,
            way=section.way,
            shot=section.shot,
            queries=section.queries,
            seed=params.seed,
            purpose="metatrain",
        )
        loop.step(episodes, number)
        if (number + 1) % section.checkpoint_every_steps:
            continue
        for share in SHARES:
            loop.interpolation = share
            kept, learner = loop.kept
            score = selector.score(number, kept, learner=learner)
            if score > best[share]["validation"]:
                found = _accuracies(loop, parts)
                differences = {name: found[name] - start[name] for name in found}
                best[share] = {"validation": score, "kept": number + 1, **differences}
        print(f"seed {params.seed}, step {number + 1}", flush=True)
    return best


def _accuracies(loop: OuterLoop, parts: dict[str, Part]) -> Accuracies:
    """Of each episode of each protocol, in per cent."""
    encoder, learner = loop.kept
    learner.eval()
    embeddings = {name: embed(encoder, parts[name].images) for name in ("novel", "digits")}
    found = {}
    for domain, way, shot in PROTOCOLS:
        episodes = Pool(parts[domain].labels).draw(
            0, EPISODES, way=way, shot=shot, queries=5, seed=0, purpose="interpolation"
        )
        each = episode_accuracies(as_learner(learner), embeddings[domain], episodes)
        found[f"{domain} {way}-way {shot}-shot"] = 100 * each.numpy()
    return found


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in runs[0] if name not in ("validation", "kept")]
    differences = {name: np.concatenate([run[name] for run in runs]) for name in names}
    return {
        "validation": [round(100 * run["validation"], 2) for run in runs],
        "kept": [run["kept"] for run in runs],
        "protocols": {
            name: {
                "difference": round(estimate(each).mean, 3),
                "interval95": round(estimate(each).interval95, 3),
                "seeds": [round(float(run[name].mean()), 3) for run in runs],
            }
            for name, each in differences.items()
        },
    }


if __name__ == "__main__":
    main()
