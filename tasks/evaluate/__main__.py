"""Runs stage evaluate: `python -m tasks.evaluate`."""

from tasks.command import stage_command
from tasks.evaluate.stage import evaluate

if __name__ == "__main__":
    stage_command("evaluate", evaluate, "Measure random start, transfer and meta on novel classes.")
