"""Runs stage evaluate: `python -m tasks.evaluate`."""

from tasks.command import stage_command

if __name__ == "__main__":
    stage_command("evaluate", "Measure random start, transfer and meta on novel classes.")
