"""Numbers and names in words that text and page share."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from flows.inspecting.costs import Costs
from flows.inspecting.fitting import QUERIES, Fit
from flows.inspecting.inspection import Inspection
from flows.inspecting.opened import Opened, Spread
from flows.inspecting.suspicion import Suspected
from tasks.sources.names import shown

LONGEST_NAME = 48
WEAK = 0.6  # share of nearest neighbours of one class; below it suspicions are hints at most


def name(text: str, longest: int = LONGEST_NAME) -> str:
    """A name in one line, its middle left out where it is too long."""
    line = shown(text)
    if len(line) <= longest:
        return line
    head = longest // 4
    return f"{line[:head]}…{line[head + 1 - longest :]}"  # the end tells more than the beginning


def plural(number: int, one: str, many: str = "") -> str:
    """For example `1 class` and `2,000 classes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def classes(number: int) -> str:
    """So many classes."""
    return plural(number, "class", "classes")


def duration(seconds: float) -> str:
    """As people say it: two digits of what counts."""
    if seconds < 1:
        return "1 s"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            amount = seconds / size
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    return f"{seconds:.0f} s"


def memory(count: int) -> str:
    """Bytes as people say them."""
    for size, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count} bytes"


def percent(share: float) -> str:
    """A share of one in whole percent; what is not nothing is never 0, nor is what lacks 100."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "less than 1 %"
    return f"{99 if whole == 100 and share < 1 else whole} %"


def spread(found: Spread | None) -> str:
    """For example `96` or `60 .. 320 .. 4,000`."""
    if found is None:
        return "not known"
    if found.least == found.most:
        return f"{found.least:,.0f}"
    return f"{found.least:,.0f} .. {found.median:,.0f} .. {found.most:,.0f}"


def aspect(found: Spread | None) -> str:
    """Width over height, which is no whole number."""
    if found is None:
        return "not known"
    if found.least == found.most:
        return f"{found.least:.2f}"
    return f"{found.least:.2f} .. {found.median:.2f} .. {found.most:.2f}"


def shares(counts: Mapping[str, int]) -> str:
    """For example `JPEG (1,990), PNG (10)`."""
    return ", ".join(f"{what} ({number:,})" for what, number in counts.items()) or "none"


def headline(found: Inspection) -> str:
    """How much there is, in one line."""
    counted = found.counted
    groups = f" in {plural(len(counted.groups), 'group')}" if counted.groups else ""
    left_out = sum(reason.count for reason in counted.left_out)
    out = f"; {plural(left_out, 'file or folder', 'files and folders')} left out"
    told = f"{plural(counted.images, 'image')} of {classes(len(counted.classes))}{groups}"
    return told + (out if left_out else "")


def looked_into(opened: Opened, found: Inspection) -> str:
    """How many images were opened."""
    if opened.images == found.counted.images:
        return "all of them"
    of = len(found.counted.classes)
    which = f"{opened.classes:,} of {classes(of)}" if opened.classes < of else f"all {classes(of)}"
    return f"{opened.images:,} of {found.counted.images:,}, from {which}"


def trust(labels: Suspected) -> str:
    """How far the comparison can be trusted."""
    told = (
        f"compared by {labels.by}: the nearest image of {percent(labels.agreement)} is of their "
        "own class"
    )
    if labels.agreement < WEAK:
        return f"{told}; these features tell the classes apart so poorly that the list is a hint"
    return told


def listed(names: Iterable[tuple[str, int]]) -> str:
    """Names with their numbers, for one line."""
    return ", ".join(f"{name(one, 32)} {number:,}" for one, number in names)


def some(paths: Sequence[str], number: int) -> str:
    """The first of some paths, and how many more there are."""
    told = ", ".join(name(path, 40) for path in paths[:number])
    more = len(paths) - number
    return f"{told} and {more:,} more" if more > 0 else told


def largest_ways(fit: Fit) -> list[tuple[str, list[int]]]:
    """How many classes of each split can stand in one episode; what is the same is told once."""
    rows = []
    for (shot, ways), same in groupby(
        fit.able, lambda able: (able.shot, list(able.classes.values()))
    ):
        queries = [able.queries for able in same]
        most, least = queries[0], queries[-1]
        amount = plural(most, "query", "queries")
        if most > least:
            amount = f"{'up' if least == min(QUERIES) else least} to {amount}"
        rows.append((f"largest way, {shot}-shot, {amount} a class", ways))
    return rows


def on_disk(costs: Costs) -> str:
    """What a run leaves behind on disk."""
    return (
        f"image store {memory(costs.store_bytes)}, as much again in DVC's cache, and "
        f"{memory(costs.cache_bytes)} of decoded images in the user's"
    )


def start_rows(found: Inspection) -> list[tuple[str, str]]:
    """What the overrides to start with say, in short."""
    framing, episodes, splitting = found.framing, found.fit.episodes, found.fit.splitting
    shade = "grey" if framing.channels == 1 else "colour"
    rows = [
        ("framing", f"{framing.mode}, {framing.size_px} px, {shade}: {framing.why}"),
    ]
    if episodes is None:
        return rows
    named = any(splitting.lists.values())
    by = {"share": "classes by hash", "group": "whole groups by hash", "table": "as the table says"}
    protocols = ", ".join(f"{way}-way {shot}-shot" for way, shot in episodes.protocols)
    return [
        *rows,
        ("splits", "named one by one" if named else by[splitting.by]),
        ("evaluate", f"{protocols}, with {plural(episodes.queries, 'query', 'queries')} a class"),
        (
            "metatrain",
            f"{episodes.way}-way 1-shot with {plural(episodes.few_queries, 'query', 'queries')}",
        ),
        ("selection", f"{episodes.selection_way}-way 1-shot on validation classes"),
    ]


def recipe_head(found: Inspection, command: str) -> list[str]:
    """What a recipe says above its overrides: where they are from, and why they are so."""
    lines = [
        f"{name(found.counted.root, 200)}: {headline(found)}; written by `headstart inspect`.",
        "",
        f"  {shown(command)}",
        "",
        *(f"{key}: {text}" for key, text in start_rows(found)),
        *found.fit.notes,
    ]
    share = (found.start.values or {}).get("prepare", {}).get("max_rejected_share")
    if share is not None:
        lines.append(
            "prepare.max_rejected_share is raised, as so many of the images cannot be used; see "
            "which in outputs/prepare/rejected.csv"
        )
    return lines
