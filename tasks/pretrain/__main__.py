"""Runs stage pretrain: `python -m tasks.pretrain`."""

from tasks.command import stage_command

if __name__ == "__main__":
    stage_command("pretrain", "Train a backbone and a classifier on the base classes.")
