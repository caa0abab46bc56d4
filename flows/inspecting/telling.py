"""The findings as text for a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows.inspecting import words
from flows.inspecting.counting import Bin, Reason, extremes
from flows.inspecting.fitting import Fit
from flows.inspecting.inspection import Inspection
from flows.inspecting.opened import Opened, describe
from flows.inspecting.suspicion import SHOWN, Suspected

_BAR = 36  # characters
_KINDS = 12
_EXTREMES = 10
_DOUBLES = 5
_EIGHTHS = " ▏▎▍▌▋▊▉"


def tell(found: Inspection) -> RenderableType:
    """All of it; stays readable with many thousands of classes."""
    opened = describe(found.look)
    return Group(
        Text(words.name(found.counted.root, 200), "bold"),
        Text(words.headline(found)),
        *_notes(found.counted.notes),
        *_counts(found),
        *_left_out("Left out by name, size or place", found.counted.left_out),
        *_seen(found, opened),
        *_labels(found, found.labels),
        *_carried(found.fit),
        *_costs(found),
        *_start(found),
    )


def _counts(found: Inspection) -> Iterator[RenderableType]:
    counted = found.counted
    yield _heading("Classes by their number of images")
    yield _bars(counted.histogram)
    rows = []
    if len(counted.histogram) > 1:
        few, many = extremes(counted.classes, _EXTREMES)
        rows.append(("fewest", words.listed((one.name, one.images) for one in few)))
        rows.append(("most", words.listed((one.name, one.images) for one in many)))
    if counted.groups:
        groups = sorted(counted.groups, key=lambda one: -one.classes)[:_EXTREMES]
        rows.append(("largest groups", words.listed((one.name, one.classes) for one in groups)))
    yield _rows(rows)


def _left_out(title: str, reasons: Sequence[Reason]) -> Iterator[RenderableType]:
    if not reasons:
        return
    yield _heading(title)
    table = _grid("right", "left")
    for reason in reasons[:_KINDS]:
        paths = words.some([path for path, _ in reason.examples], 2)
        table.add_row(
            f"{reason.count:,}", Text.assemble(words.name(reason.kind, 90), (f"  {paths}", "dim"))
        )
    rest = reasons[_KINDS:]
    if rest:
        table.add_row(f"{sum(one.count for one in rest):,}", f"of {len(rest):,} further kinds")
    yield _indented(table)


def _seen(found: Inspection, opened: Opened) -> Iterator[RenderableType]:
    yield _heading(f"Looked into {words.looked_into(opened, found)}")
    refused = sum(reason.count for reason in opened.unfit)
    yield _rows(
        [
            ("width, px", words.spread(opened.width)),
            ("height, px", words.spread(opened.height)),
            ("width / height", words.aspect(opened.aspect)),
            ("formats", words.shares(opened.forms)),
            ("pixels", words.shares(opened.modes)),
            ("turned by EXIF", f"{opened.turned:,}" if opened.turned else ""),
            ("of no use", f"{refused:,}"),
            ("same picture", _doubles(opened)),
        ]
    )
    for some in opened.across[:_DOUBLES]:
        yield _indented(Text(f"  under several classes: {words.some(some, 4)}"))
    yield from _left_out("Of no use once opened", opened.unfit)


def _doubles(opened: Opened) -> str:
    if not opened.within and not opened.across:
        return "none twice"
    within = words.plural(len(opened.within), "picture")
    return f"{within} twice or more in a class, {len(opened.across):,} under several classes"


def _labels(found: Inspection, labels: Suspected | None) -> Iterator[RenderableType]:
    yield _heading("Labels that may be wrong")
    if labels is None:
        yield _indented(Text("not looked for: needs two classes with three sound images each"))
        return
    yield _indented(Text(words.trust(labels), "dim"))
    if not labels.suspicions:
        yield _indented(Text(f"none among {labels.images:,} images"))
        return
    table = _grid("left", "left", "left")
    table.add_row(*(Text(title, "dim") for title in ("image", "labelled", "like five of")))
    for one in labels.suspicions[:SHOWN]:
        image, other = found.look.images[one.position], found.look.images[one.suggested]
        table.add_row(
            Text(words.name(image.path, 32)),
            Text(words.name(image.class_name, 20)),
            Text(words.name(other.class_name, 20)),
        )
    yield _indented(table)
    more = len(labels.suspicions) - SHOWN
    if more > 0:
        yield _indented(Text(f"and {more:,} more"))


def _carried(fit: Fit) -> Iterator[RenderableType]:
    yield _heading("What the classes can carry")
    table = _grid("left", "right", "right", "right")
    table.add_row("", *(Text(split, "dim") for split in fit.sizes))
    table.add_row("classes", *(f"{one:,}" for one, _ in fit.sizes.values()))
    table.add_row("images", *(f"{images:,}" for _, images in fit.sizes.values()))
    for label, ways in words.largest_ways(fit):
        table.add_row(label, *(f"{way:,}" for way in ways))
    yield _indented(table)
    yield from _notes(fit.notes)
    for obstacle in fit.obstacles:
        yield _indented(Text(f"too few: {obstacle}", "bold"))


def _costs(found: Inspection) -> Iterator[RenderableType]:
    yield _heading("What a run will need on this machine, about")
    table = _grid("left", "right", "right", "left")
    table.add_row("", *(Text(title, "dim") for title in ("time", "memory", "measured")))
    for stage in found.costs.stages:
        table.add_row(
            stage.stage,
            words.duration(stage.seconds),
            words.memory(stage.memory_bytes),
            Text(stage.basis, "dim"),
        )
    if len(found.costs.stages) > 1:
        table.add_row("all", words.duration(found.costs.seconds))
    yield _indented(table)
    yield _indented(Text(f"on disk: {words.on_disk(found.costs)}"))
    yield from _notes(found.remarks)


def _start(found: Inspection) -> Iterator[RenderableType]:
    yield _heading("To start with")
    yield _rows(words.start_rows(found))


def _heading(text: str) -> RenderableType:
    return Text(f"\n{text}", "bold")


def _notes(notes: Sequence[str]) -> Iterator[RenderableType]:
    for note in notes:
        yield _indented(Text(f"note: {words.name(note, 600)}"))


def _rows(rows: Sequence[tuple[str, str]]) -> RenderableType:
    table = _grid("left", "left")
    for key, text in rows:
        if text:
            table.add_row(Text(key, "dim"), Text(text))
    return _indented(table)


def _bars(bins: Sequence[Bin]) -> RenderableType:
    most = max((one.count for one in bins), default=1)
    table = _grid("right", "left")
    for one in bins:
        table.add_row(one.label, f"{_bar(one.count / most)} {one.count:,}".strip())
    return _indented(table)


def _bar(share: float) -> str:
    eighths = max(round(8 * _BAR * share), 1 if share else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _grid(*sides: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for side in sides:
        table.add_column(justify="right" if side == "right" else "left", overflow="fold")
    return table


def _indented(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, 2), expand=False)
