"""The blocks of a backbone, nearest the input first: what transfer learning freezes and thaws."""

from dataclasses import dataclass

from torch import nn

from tasks.backbones.encoder import Encoder

_HOUSE_SHARE = 0.9  # of the weights, from which a module is no block but the house of all blocks


@dataclass(frozen=True)
class Block:
    """A part of the backbone that is trained or left alone as a whole.

    Attributes:
        modules: those that belong to it, in their order.
        parameters: its own; a parameter is in one block only.
    """

    modules: tuple[nn.Module, ...]
    parameters: tuple[nn.Parameter, ...]


def blocks(encoder: Encoder) -> list[Block]:
    """Find the blocks of any backbone, in the order in which its modules were made.

    A backbone that names its `blocks` is taken at its word. Of any other, the modules just below
    the network are blocks; one that holds nearly all weights, or that torchvision calls
    `features`, is only the house they live in, and is opened. What has no matrix (a normalisation,
    a scale) goes with the block before it, and parameters that lie in no module go with the first.

    Args:
        encoder: its backbone must make its modules in the order in which images pass them, as
            torchvision's networks do.

    Returns:
        At least one block; together they hold every parameter of the encoder once.
    """
    network = encoder.backbone
    named = getattr(network, "blocks", None)
    parts = list(named) if isinstance(named, nn.Sequential) else _opened(network, _size(network))
    grouped: list[list[nn.Module]] = []
    for part in parts:
        if grouped and all(parameter.ndim < 2 for parameter in part.parameters()):
            grouped[-1].append(part)
        else:
            grouped.append([part])
    return _with_parameters(encoder, grouped or [[network]])


def _opened(module: nn.Module, whole: int) -> list[nn.Module]:
    found: list[nn.Module] = []
    for name, child in module.named_children():
        size = _size(child)
        house = name == "features" or size > _HOUSE_SHARE * whole
        if house and any(_size(inner) for inner in child.children()):
            found += _opened(child, whole)
        elif size:
            found.append(child)
    return found


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _with_parameters(encoder: Encoder, grouped: list[list[nn.Module]]) -> list[Block]:
    taken: set[int] = set()
    owned: list[list[nn.Parameter]] = []
    for modules in grouped:
        own = [one for module in modules for one in module.parameters() if id(one) not in taken]
        taken.update(map(id, own))
        owned.append(own)
    owned[0] += [one for one in encoder.parameters() if id(one) not in taken]
    return [Block(tuple(modules), tuple(own)) for modules, own in zip(grouped, owned, strict=True)]
