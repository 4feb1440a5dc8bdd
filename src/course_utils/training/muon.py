"""Muon: the gradient's nearest orthogonal matrix as the step (Jordan et al. 2024)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from course_utils.speed import has_bf16

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's polynomial, steepest at 0
STEPS = 5


def orthogonalised(matrix: Tensor, steps: int = STEPS) -> Tensor:
    """About the nearest orthogonal matrix to (n, m): singular vectors kept, values near 1.

    Newton–Schulz: each step maps a singular value s to a·s + b·s³ + c·s⁵, which lifts small ones to
    between 0.7 and 1.2. PyTorch's own Muon does this in bfloat16, which a processor that only
    emulates it computes several times more slowly than float32.
    """
    a, b, c = COEFFICIENTS
    x = matrix.bfloat16() if has_bf16(matrix.device.type) else matrix.float()
    wide = x if x.size(0) <= x.size(1) else x.mT  # the smaller product
    x = wide / wide.norm().clamp(min=1e-7)  # no singular value above 1
    for _ in range(steps):
        square = x @ x.mT  # (n, n) of the smaller side n
        x = a * x + (b * square + c * square @ square) @ x
    x = x if matrix.size(0) <= matrix.size(1) else x.mT
    return x.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay; for matrices only.

    The step of an (n, m) matrix is scaled by 0.2·√max(n, m), the size of AdamW's usual step (Liu et
    al. 2025, arXiv 2502.16982, §2.2), so that one learning rate and one decay serve both.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient; there is no closure to call."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self.move(matrix, group)

    def flops(self) -> float:
        """What orthogonalising takes in one step; the rest is a few FLOPs a weight.

        With n ≤ m, each Newton–Schulz step computes x·xᵀ (2n²m), its square (2n³) and their product
        with x (2n²m).
        """
        matrices = (matrix for group in self.param_groups for matrix in group["params"])
        sides = (sorted(matrix.shape) for matrix in matrices)
        return float(sum(STEPS * (4 * n * n * m + 2 * n**3) for n, m in sides))

    def move(self, matrix: Tensor, group: dict) -> None:
        """One step of one matrix."""
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
        ahead = matrix.grad.lerp(mean, group["momentum"])  # Nesterov: where the mean will be
        size = 0.2 * max(matrix.shape) ** 0.5
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(orthogonalised(ahead), alpha=-group["lr"] * size)
