"""A source whose best possible losses are known exactly: a Markov chain over a few symbols.

All results are in nats per predicted token; divide by ln 2 for bits. They rest on one function,

    h(n) = H(X_{t+n} | X_t) = −Σ_i π_i Σ_j (Pⁿ)_ij ln (Pⁿ)_ij,      h(∞) = H(π),

what is still unknown about a symbol when the one n steps before is seen and none between. For a
chain, the nearest seen symbol on either side tells all that can be told:

    H(X_t | X_{t−a}, X_{t+b}) = h(a) + h(b) − h(a + b).

A causal model always has a = 1 and nothing on the right: h(1). A masked one has both sides, at
distances that grow with the masking rate.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from course_utils.objectives.masked_lm import fixed_count


@dataclass(frozen=True)
class MarkovSource:
    """A stationary order-1 Markov chain: `transition[i, j]` = P(next = j | now = i).

    Symbols are 0 … num_symbols−1; ids from num_symbols on are free for [MASK] and the like.
    Raises ValueError unless the matrix is square, its rows are probabilities and every symbol
    can be reached from every other.
    """

    transition: Tensor

    def __post_init__(self) -> None:
        """Refuse what is no irreducible, aperiodic transition matrix."""
        p = self.transition
        if p.dim() != 2 or p.shape[0] != p.shape[1] or p.dtype != torch.float64:
            raise ValueError(
                f"transition {p.dtype} {tuple(p.shape)} must be float64 of shape (symbols, symbols)"
            )
        if bool((p < 0).any()) or not torch.allclose(p.sum(1), p.new_ones(len(p)), atol=1e-9):
            raise ValueError("every row of transition must be ≥ 0 and sum to 1")
        if not bool((torch.linalg.matrix_power(p, (len(p) - 1) ** 2 + 1) > 0).all()):
            # That power is enough: the bound of Wielandt 1950.
            raise ValueError("transition must be irreducible and aperiodic: else h(n) has no limit")

    @classmethod
    def random(cls, num_symbols: int, seed: int, sharpness: float = 2.0) -> "MarkovSource":
        """Rows softmax(sharpness · standard normal): 0 is uniform noise, large is predictable."""
        generator = Generator().manual_seed(seed)
        scores = torch.randn(num_symbols, num_symbols, generator=generator, dtype=torch.float64)
        return cls(torch.softmax(sharpness * scores, dim=1))

    @property
    def num_symbols(self) -> int:
        """Size of the alphabet."""
        return len(self.transition)

    @cached_property
    def stationary(self) -> Tensor:
        """π with πP = π and Σπ = 1, (symbols,)."""
        n = self.num_symbols
        system = torch.cat([self.transition.T - torch.eye(n).double(), torch.ones(1, n).double()])
        target = torch.zeros(n + 1, 1, dtype=torch.float64)
        target[-1] = 1.0
        return torch.linalg.lstsq(system, target, driver="gelsd").solution[:, 0].clamp(min=0)

    def sample(self, batch: int, length: int, generator: Generator) -> Tensor:
        """Draw sequences that start in the stationary distribution: int64 (batch, length)."""
        device = generator.device
        draws = torch.rand(batch, length, generator=generator, device=device, dtype=torch.float64)
        draws = draws.cpu()
        start, rows = self.stationary.cumsum(0), self.transition.cumsum(1)
        ids = torch.zeros(batch, length, dtype=torch.long)
        for t in range(length):
            edges = rows[ids[:, t - 1]] if t else start.expand(batch, -1)
            ids[:, t] = (draws[:, t, None] >= edges).sum(1)
        return ids.clamp_(max=self.num_symbols - 1)

    def remaining(self, steps: int) -> float:
        """h(steps) in nats; h(0) = 0."""
        return float(self._table(steps)[steps])

    def _table(self, longest: int) -> Tensor:
        """h(0), h(1), …, h(longest)."""
        power, values = torch.eye(self.num_symbols, dtype=torch.float64), []
        for _ in range(longest + 1):
            values.append(-(self.stationary[:, None] * torch.xlogy(power, power)).sum())
            power = power @ self.transition
        return torch.stack(values)

    @property
    def unigram_entropy(self) -> float:
        """H(π) = h(∞): the best loss of a model that sees nothing."""
        return float(-torch.xlogy(self.stationary, self.stationary).sum())

    @property
    def entropy_rate(self) -> float:
        """h(1) = −Σ_i π_i Σ_j P_ij ln P_ij, in nats per symbol."""
        return self.remaining(1)

    def best_clm_loss(self, length: int | None = None) -> float:
        """Lowest possible causal LM loss, nats per predicted token.

        Without `length`: every predicted token has its predecessor, as in `causal_lm.corrupt`:
        h(1), whatever the length. With it, the first of `length` tokens is predicted too (after
        a begin token): (H(π) + (length−1)·h(1)) / length.
        """
        if length is None:
            return self.entropy_rate
        return (self.unigram_entropy + (length - 1) * self.entropy_rate) / length

    def best_mlm_loss(self, rate: float, length: int, count: str = "fixed") -> float:
        """Lowest possible masked LM loss at this masking rate, nats per masked token.

        Every chosen token becomes [MASK] (`mask_share=1`); `count` as in `masked_lm.corrupt`.
        With T = length and p(m, v) the probability that m given others are masked and v are not,

            (1/T) [ Σ_{a+b<T} (T−a−b) p(a+b−2, 2) (h(a) + h(b) − h(a+b))      seen on both sides
                    + 2 Σ_{a+m<T} p(a−1+m, 1) h(a)          on one; m to the edge on the other
                    + T p(T−1, 0) H(π) ]                                        on neither.

        The other masked tokens are independent draws, or a uniform choice of fixed_count − 1 of
        the other T − 1. As T grows this tends to E[h(A) + h(B) − h(A+B)], A and B geometric.
        """
        h = self._table(length).tolist()

        def p(hidden: int, seen: int) -> float:
            return _probability(hidden, seen, rate, length, count)

        both = sum(
            (length - s) * p(s - 2, 2) * sum(h[a] + h[s - a] - h[s] for a in range(1, s))
            for s in range(2, length)
        )
        one = sum(p(a - 1 + m, 1) * h[a] for a in range(1, length) for m in range(length - a))
        return (both + 2 * one) / length + p(length - 1, 0) * self.unigram_entropy

    def best_masked_logits(self, ids: Tensor, mask_token_id: int) -> Tensor:
        """Log-probabilities of each symbol given all that is not [MASK]: the ideal BERT.

        (batch, length, symbols); ∝ P^a[left, x] · P^b[x, right], the forward–backward rule.
        """
        forward = self._sweep(ids, mask_token_id, self.transition)
        backward = self._sweep(ids.flip(1), mask_token_id, self.reverse).flip(1)
        # Both sweeps hold the prior π once, so one of the two is taken out.
        return torch.log_softmax((forward * backward / self.stationary).log(), dim=-1)

    @property
    def reverse(self) -> Tensor:
        """Transition matrix of the chain read from right to left: π_j P_ji / π_i."""
        return (self.stationary[:, None] * self.transition).T / self.stationary[:, None]

    def _sweep(self, ids: Tensor, mask_token_id: int, transition: Tensor) -> Tensor:
        """P(x_t | visible symbols before t) for every t: (batch, length, symbols)."""
        belief, beliefs = self.stationary.expand(len(ids), -1), []
        for t in range(ids.shape[1]):
            beliefs.append(belief)
            visible = (ids[:, t] != mask_token_id)[:, None]
            known = torch.nn.functional.one_hot(
                ids[:, t].clamp(max=self.num_symbols - 1), self.num_symbols
            )
            belief = torch.where(visible, known.double(), belief) @ transition
        return torch.stack(beliefs, dim=1)


def _probability(hidden: int, seen: int, rate: float, length: int, count: str) -> float:
    """P(these `hidden` positions masked, these `seen` not | one other is masked)."""
    if count == "independent":
        return rate**hidden * (1 - rate) ** seen
    if count != "fixed":
        raise ValueError(f'count={count!r} must be "fixed" or "independent", as in masked_lm')
    others, masked = length - 1, int(fixed_count(torch.tensor([length]), rate)) - 1
    if hidden > masked or others - hidden - seen < masked - hidden:
        return 0.0
    return math.comb(others - hidden - seen, masked - hidden) / math.comb(others, masked)
