"""The 1,797 handwritten digits that scikit-learn ships: real handwriting without a download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998 (the test part, 43 writers, none of whom any stage trains on).
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits


def load() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All digits, as they come.

    Returns:
        Grey images `(1797, 8, 8)`, light ink on dark paper, 0..255, and the digit that each of
        them shows `(1797,)`, 0..9.
    """
    digits = load_digits()
    # Ink is counted from 0 to 16 in each cell.
    return np.round(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int64)
