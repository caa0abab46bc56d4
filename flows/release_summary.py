"""What a release says of itself: what changed in figures, data, params and code."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.clones import Plan, git
from flows.project import STATE_FOLDER
from flows.release_picture import picture
from flows.releases import Release, read_record
from tasks.errors import DataError
from tasks.params import PARAMS_FILE
from tasks.params_file import parse_sections

SUMMARY = STATE_FOLDER / "release.md"
LARGEST_LIST = 30


def summary(
    plan: Plan,
    record: Mapping[str, Any],
    against: Release | None,
    verdict: str,
    points: Sequence[str],
) -> str:
    """The summary in Markdown.

    Args:
        plan: of the candidate's clone.
        record: of the candidate.
        against: what it was compared with; None for the first release.
        verdict: in a word or two, such as refused.
        points: what else a reader has to know, the weightiest first.
    """
    before = read_record(plan.root, against) if against else None
    than = f" against {against.version}" if against else ", the first release"
    parts = [
        f"# {record['version']} {verdict}{than}",
        *(f"- {point}" for point in points),
        "",
        "## Figures",
        *picture(record["figures"]),
        *_figures(record["figures"]),
        "",
        "## Data",
        *_data(record["data"], before["data"] if before else {}),
    ]
    if against and before:
        parts += ["", "## Params", *_params(plan, against)]
        parts += ["", "## Code", *_code(plan, str(before["commit"]))]
    return "\n".join(parts) + "\n"


def figure_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures as rows of a Prefect table, in percent."""
    return [
        {
            "episodes of": one["name"],
            "episodes": one["episodes"],
            "candidate %": _percent(one, "accuracy"),
            "released %": _percent(one, "released_accuracy"),
            "difference": _percent(one, "difference"),
            "interval95": _percent(one, "difference_interval95"),
        }
        for one in record["figures"].values()
    ]


def _percent(one: Mapping[str, Any], key: str) -> float | str:
    return round(100 * one[key], 2) if key in one else ""


def _figures(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| episodes of | candidate % | released % | paired difference, points |"
    yield "|---|---|---|---|"
    for one in figures.values():
        ours = f"{100 * one['accuracy']:.2f} ± {100 * one['interval95']:.2f}"
        theirs, gain = "-", "-"
        if "difference" in one:
            theirs = f"{100 * one['released_accuracy']:.2f}"
            gain = f"{100 * one['difference']:+.2f} ± {100 * one['difference_interval95']:.2f}"
        yield f"| {one['episodes']} {one['name']} | {ours} | {theirs} | {gain} |"


def _data(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    yield "| part | images | classes |"
    yield "|---|---|---|"
    for part in dict.fromkeys((*now, *before)):
        cells = []
        for key in ("images", "classes"):
            count, was = now.get(part, {}).get(key, 0), before.get(part, {}).get(key)
            cells.append(f"{count:,}" + ("" if was in (None, count) else f" (was {was:,})"))
        yield f"| {part} | {' | '.join(cells)} |"


def _params(plan: Plan, against: Release) -> Iterator[str]:
    was = parse_sections(git(plan.root, "show", f"{against.commit}:{PARAMS_FILE}"), str(against))
    now = parse_sections(plan.params_text, str(PARAMS_FILE))
    yield from _listed([f"`{one}`" for one in _differences("", was, now)])


def _differences(key: str, was: Any, now: Any) -> Iterator[str]:
    """Each differing leaf, as `key: old -> new`."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*was, *now)):
            yield from _differences(f"{key}.{name}".lstrip("."), was.get(name), now.get(name))
    elif was != now:
        yield f"{key}: {json.dumps(was, default=str)} -> {json.dumps(now, default=str)}"


def _code(plan: Plan, before: str) -> Iterator[str]:
    if before == plan.commit:
        yield "the same commit"
        return
    try:
        commits = git(plan.root, "log", "--format=%h %s", f"{before}..{plan.commit}").splitlines()
        files = git(plan.root, "diff", "--stat", before, plan.commit).splitlines()
    except DataError:
        yield f"commit {before[:7]} of the release before is not here"
        return
    yield from _listed([f"`{one}`" for one in commits])
    yield from (f"    {one}" for one in files[-LARGEST_LIST:])


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"- {one}" for one in lines[:LARGEST_LIST])
    if len(lines) > LARGEST_LIST:
        yield f"- and {len(lines) - LARGEST_LIST} more"
    if not lines:
        yield "no change"
