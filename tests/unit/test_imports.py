import subprocess
import sys


def test_stages_start_without_what_takes_seconds_to_import_and_is_rarely_needed() -> None:
    code = (
        "import sys, tasks.pretrain.stage, tasks.metatrain.stage, tasks.evaluate.stage, "
        "tasks.export.stage; from tasks.backbones.build import EncoderSpec, build; "
        "build(EncoderSpec('conv4', 1, (4, 4, 4, 4))); "
        "print({'torchvision', 'scipy.stats', 'prefect', 'dvc'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_an_evaluation_is_made_deterministic_without_torchs_compiler() -> None:
    code = (
        "import sys, torch, tasks.evaluate.stage; from tasks.optimisation import deterministic; "
        "deterministic(); "
        "print(torch.are_deterministic_algorithms_enabled(), 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == [
        "True",
        "False",
    ]
