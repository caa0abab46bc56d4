"""Where each stage leaves what the next ones read, relative to the project's root."""

from pathlib import Path

STATE = Path(".headstart")  # of this checkout, no part of any result

LISTING = Path("data/scan/listing.csv")
PREPARED = Path("outputs/prepare")
PRETRAINED = Path("outputs/pretrain")
METATRAINED = Path("outputs/metatrain")
META_ALONE = Path("alone")  # below it, the same without transfer
EVALUATED = Path("outputs/evaluate")
BUNDLE = Path("exports/bundle")

METRICS = EVALUATED / "metrics.json"
REPORT = EVALUATED / "report.html"
TIMED = STATE / "evaluate"  # the report again, with what a clock said
