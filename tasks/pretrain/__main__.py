"""Runs stage pretrain: `python -m tasks.pretrain`."""

from tasks.command import stage_command

if __name__ == "__main__":
    summary = "Train a backbone and a classifier on the base classes."
    stage_command("pretrain", summary, resumes=True)
