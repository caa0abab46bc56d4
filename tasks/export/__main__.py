"""Runs stage export: `python -m tasks.export`."""

from tasks.command import stage_command

if __name__ == "__main__":
    from tasks.export.stage import export

    stage_command("export", export, "Write the bundle of ONNX graphs, and check it.")
