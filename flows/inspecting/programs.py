"""The findings for programs: one JSON object, every list whole."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flows.inspecting.counting import Reason
from flows.inspecting.inspection import Inspection
from flows.inspecting.opened import describe
from flows.inspecting.suspicion import Suspected
from tasks.trees.tree import printable


def as_json(found: Inspection) -> dict[str, Any]:
    """Everything that text and page tell, and more of it.

    Names and paths are as in the data, bytes that are no UTF-8 spelt out. Sizes are in pixels and
    bytes, shares between 0 and 1; `costs` are estimates throughout.
    """
    counted, opened, fit = found.counted, describe(found.look), found.fit
    return {
        "root": printable(counted.root),
        "source": found.where.source,
        "images": counted.images,
        "lost": counted.lost,
        "classes": [asdict(one) for one in counted.classes],
        "groups": [asdict(one) for one in counted.groups],
        "histogram": [asdict(one) for one in counted.histogram],
        "left_out": _reasons(counted.left_out),
        "notes": list(counted.notes),
        "looked_into": {
            "images": opened.images,
            "classes": opened.classes,
            "width": opened.width and asdict(opened.width),
            "height": opened.height and asdict(opened.height),
            "aspect": opened.aspect and asdict(opened.aspect),
            "formats": dict(opened.forms),
            "modes": dict(opened.modes),
            "turned": opened.turned,
            "unfit": _reasons(opened.unfit),
            "duplicates_within": [list(some) for some in opened.within],
            "duplicates_across": [list(some) for some in opened.across],
        },
        "labels": _labels(found, found.labels),
        "framing": asdict(found.framing),
        "splits": {
            split: {"classes": classes, "images": images}
            for split, (classes, images) in fit.sizes.items()
        },
        "able": [asdict(one) for one in fit.able],
        "fit_notes": list(fit.notes),
        "obstacles": list(fit.obstacles),
        "start": found.start.values,
        "costs": {
            "stages": [asdict(one) for one in found.costs.stages],
            "seconds": found.costs.seconds,
            "store_bytes": found.costs.store_bytes,
            "cache_bytes": found.costs.cache_bytes,
        },
        "remarks": list(found.remarks),
    }


def _reasons(reasons: Sequence[Reason]) -> list[Mapping[str, Any]]:
    return [
        {
            "kind": one.kind,
            "count": one.count,
            "examples": [{"path": path, "reason": reason} for path, reason in one.examples],
        }
        for one in reasons
    ]


def _labels(found: Inspection, labels: Suspected | None) -> Mapping[str, Any] | None:
    if labels is None:
        return None
    images = found.look.images
    return {
        "by": labels.by,
        "images": labels.images,
        "agreement": labels.agreement,
        "suspicious": [
            {
                "path": printable(images[one.position].path),
                "class": images[one.position].class_name,
                "suggested": images[one.suggested].class_name,
                "margin": one.margin,
                "neighbours": [printable(images[to].path) for to in one.neighbours],
            }
            for one in labels.suspicions
        ],
    }
