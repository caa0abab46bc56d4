"""Runs stage scan: `python -m tasks.scan`."""

from tasks.command import stage_command

if __name__ == "__main__":
    stage_command("scan", "List the images that stand in prepare.root.")
