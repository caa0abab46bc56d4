"""Looks for two dangers in the raw bytes of an ONNX graph, before anything runs them."""

from tasks.errors import BundleError


def refuse_dangers(model: bytes, name: str) -> None:
    """Check that a graph needs no other file and no operator beyond standard ONNX.

    The client does the same for itself, so it is written there.

    Args:
        model: a serialised ModelProto.
        name: what to call it in messages.

    Raises:
        BundleError: it does, or it is no graph at all.
    """
    from tasks import fewshot  # loads ONNX Runtime

    try:
        fewshot.refuse_dangers(model, name)
    except fewshot.FewShotError as fault:
        raise BundleError(str(fault)) from None
