"""Runs stage metatrain: `python -m tasks.metatrain`."""

from tasks.command import stage_command

if __name__ == "__main__":
    summary = "Fine-tune the backbone by episodes of base classes."
    stage_command("metatrain", summary, resumes=True)
