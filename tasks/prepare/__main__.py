"""Runs stage prepare: `python -m tasks.prepare`."""

from tasks.command import stage_command

# Rendering workers import this module anew; the guard and the late import keep them light.
if __name__ == "__main__":
    from tasks.prepare.stage import prepare

    stage_command("prepare", prepare, "Turn the source of images into the image store.")
