"""Runs stage export: `python -m tasks.export`."""

from tasks.command import stage_command

if __name__ == "__main__":
    stage_command("export", "Write the bundle of ONNX graphs, and check it.")
