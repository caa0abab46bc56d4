"""Classes made by turning others: most drawn characters are other characters when turned.

Source: A. Santoro et al., Meta-Learning with Memory-Augmented Neural Networks, ICML 2016.
"""

from typing import Literal

Turned = Literal[0, 90, 180, 270]

UPRIGHT: Turned = 0
QUARTER_TURNS: tuple[Turned, ...] = (90, 180, 270)


def turned_name(name: str, turned_deg: Turned) -> str:
    """The name of the class that another one is when it is turned.

    Args:
        name: of the class as it stands.
        turned_deg: by how much, counter-clockwise; 0 keeps the name.
    """
    return f"{name} turned {turned_deg}" if turned_deg else name
