"""Which charts, pairs and episodes the report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasks.artifacts.image_store import Part
from tasks.evaluate.adaptation_curve import AdaptationCurve
from tasks.evaluate.charts import accuracy_dots, gain_intervals, reliability
from tasks.evaluate.confusion import hardest_pairs
from tasks.evaluate.curve_charts import seconds_chart, shots_chart, steps_chart
from tasks.evaluate.episode_sheet import EpisodeSheet, episode_sheet, hardest_of_first
from tasks.evaluate.measured import Measured
from tasks.evaluate.pair_sheet import ShownPair, pair_sheet
from tasks.evaluate.report import Picture, Pictures
from tasks.evaluate.seconds import Seconds
from tasks.evaluate.shots_curve import Shots


def pictures(
    results: Sequence[Measured],
    curves: Sequence[AdaptationCurve],
    shots: Sequence[Shots],
) -> Pictures:
    """All charts of the results.

    Args:
        results: of the protocols.
        curves: against steps.
        shots: curves against shots.
    """
    return Pictures(
        results=[
            Picture(
                accuracy_dots(results),
                "Accuracy on novel classes, with 95 % intervals.",
                "Points of the accuracies in the table",
            ),
            Picture(
                gain_intervals(results),
                "What transfer + meta is ahead, paired by episode, with 95 % intervals. One that "
                "crosses zero says that nothing could be measured.",
                "Points of the differences in the table",
            ),
        ],
        adaptation=[
            Picture(
                steps_chart(curve),
                f"{curve.title}: wrong answers against gradient steps.",
                "Curves of the table below, by steps",
            )
            for curve in curves
        ],
        shots=[
            Picture(
                shots_chart(one),
                f"{one.title}: wrong answers against support images a class.",
                "Accuracy of each arm by shots",
            )
            for one in shots
        ],
        reliability=[
            Picture(
                reliability(one),
                f"{one.title}: right answers against confidence, in 15 bins.",
                "Accuracy of each arm by confidence",
            )
            for one in _first_of_each_domain(results)
        ],
    )


def with_seconds(
    drawn: Pictures, curves: Sequence[AdaptationCurve], seconds: Mapping[str, Seconds]
) -> Pictures:
    """The same charts, and after each curve against steps the same against seconds.

    Args:
        drawn: all of the results.
        curves: against steps, in the order in which they were drawn.
        seconds: of each curve, by its key.
    """
    by_seconds = [
        Picture(
            seconds_chart(curve, seconds[curve.key]),
            f"{curve.title}: the same against time on this machine.",
            "The same curves by milliseconds",
        )
        for curve in curves
    ]
    both = zip(drawn.adaptation, by_seconds, strict=True)
    return replace(drawn, adaptation=[picture for pair in both for picture in pair])


def pairs_to_look_at(
    results: Sequence[Measured], parts: Mapping[str, Part]
) -> dict[str, list[ShownPair]]:
    """The hardest pairs of transfer + meta on the most ways of each domain."""
    most: dict[str, Measured] = {}
    for result in sorted(results, key=lambda one: (-one.way, one.kind.shot)):
        most.setdefault(result.domain, result)
    return {
        one.title: pair_sheet(hardest_pairs(one, "meta"), parts[one.domain])
        for one in most.values()
    }


def episodes_to_look_at(
    results: Sequence[Measured], parts: Mapping[str, Part]
) -> list[EpisodeSheet]:
    """The worst of the first episodes of each domain, of the protocol that is easiest to read."""
    return [
        episode_sheet(one, parts[one.domain], hardest_of_first(one, "meta"))
        for one in _first_of_each_domain(results)
    ]


def _first_of_each_domain(results: Sequence[Measured]) -> list[Measured]:
    first: dict[str, Measured] = {}
    for result in sorted(results, key=lambda one: (one.way, one.kind.shot)):
        first.setdefault(result.domain, result)
    return list(first.values())
