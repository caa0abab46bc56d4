"""Ridge regression from features to answers of each class, in both of its forms.

With features `X (n, d)`, answers `Y (n, way)`, which are 0 but for the row's own class, and the
diagonal matrix `L` of a lambda above 0 for each row, the larger the less its answer is trusted,

    primal:  W  =  (X' L^-1 X + I)^-1 X' L^-1 Y      a system of d unknowns
    dual:    W  =  X' (XX' + L)^-1 Y                 a system of n unknowns

are equal (Woodbury). A support of few images makes the dual the small one. A row of zeros in both
X and Y changes neither, which is how images of other classes are left out. Both are solved in
double precision: the error of a solution grows with n / lambda, and a learned lambda may be small.

Both systems are symmetric and positive definite, and are solved by Cholesky's factor. PyTorch's
general `solve` is for graphs alone, which translate it: of several systems of more than 150
unknowns on several threads it gives numbers that are no solution, or never comes back
(https://github.com/pytorch/pytorch/issues/142815, seen with torch 2.15.0).

An exported graph chooses between the two, and PyTorch follows a branch only through functions that
nothing wraps: hence `no_type_check`, which keeps the shape checks of the tests out of here.

Source: Bertinetto et al., Meta-learning with differentiable closed-form solvers, 2019, equations
4 and 5 (R2D2), where one lambda serves all rows.
"""

from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor


@no_type_check
def ridge_primal(
    features: Float[Tensor, "*episodes support dim"],
    answers: Float[Tensor, "*episodes support way"],
    penalties: Float[Tensor, "*episodes support"],
) -> Float[Tensor, "*episodes way dim"]:
    """Weights of the regression by the system of `dim` unknowns.

    Args:
        features: of the support; zeros in rows that do not count.
        answers: of each row, 0 but for its class; zeros likewise.
        penalties: lambda of each row, above 0.
    """
    exact = features.double()
    counted = (exact / penalties[..., None]).transpose(-1, -2)
    system = _penalised(counted @ exact, torch.ones_like(exact[..., 0, :]))
    solved = _solution(system, counted @ answers.double())
    return solved.transpose(-1, -2).to(features.dtype)


@no_type_check
def ridge_dual(
    features: Float[Tensor, "*episodes support dim"],
    answers: Float[Tensor, "*episodes support way"],
    penalties: Float[Tensor, "*episodes support"],
) -> Float[Tensor, "*episodes way dim"]:
    """The same weights by the system of `support` unknowns; see `ridge_primal`."""
    exact = features.double()
    solved = dual_coefficients(exact @ exact.transpose(-1, -2), answers, penalties)
    return (solved @ exact).to(features.dtype)


@no_type_check
def dual_coefficients(
    products: Float[Tensor, "*episodes support support"],
    answers: Float[Tensor, "*episodes support way"],
    penalties: Float[Tensor, "*episodes support"],
) -> Float[Tensor, "*episodes way support"]:
    """`(XX' + L)^-1 Y`, of which `ridge_dual` makes the weights.

    Args:
        products: `XX'`; zeros in rows and columns that do not count.
        answers: of each row, 0 but for its class; zeros likewise.
        penalties: lambda of each row, above 0.
    """
    system = _penalised(products.double(), penalties)
    solved = _solution(system, answers.double())
    return solved.transpose(-1, -2).to(products.dtype)


@no_type_check
def _penalised(products: Tensor, penalties: Tensor) -> Tensor:
    # Not torch.eye, which from some 600 numbers on is exported with numbers of 16 bits.
    numbers = torch.arange(products.shape[-1], device=products.device)
    return torch.where(numbers[:, None] == numbers, products + penalties[..., None], products)


@no_type_check
def _solution(system: Tensor, right: Tensor) -> Tensor:
    if torch.compiler.is_exporting():
        return torch.linalg.solve(system, right)
    return torch.cholesky_solve(right, torch.linalg.cholesky(system))
