"""Runs stage metatrain: `python -m tasks.metatrain`."""

from tasks.command import stage_command
from tasks.metatrain.stage import metatrain

if __name__ == "__main__":
    stage_command("metatrain", metatrain, "Fine-tune the backbone by episodes of base classes.")
