"""Runs stage prepare: `python -m tasks.prepare`."""

from tasks.command import stage_command

# Rendering workers import this module anew, and must not start a stage.
if __name__ == "__main__":
    stage_command("prepare", "Turn the source of images into the image store.")
