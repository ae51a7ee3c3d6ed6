"""The secret length against a second evaluation: decimal arithmetic of 40 digits, written in the letters of the proof.

Source of the formulas: Lim, Curty, Walenta, Xu, Zbinden, PRA 89, 022307 (2014), equations (1) to (5), one by one; the
extensions (signal only, both bases) as the docstring of ``protocols.finite_key`` states them. No code is shared.
"""

from __future__ import annotations

from decimal import Decimal, getcontext

import pytest

from qanat.protocols.decoy import BasisCounts, DecoyCounts, DecoyProtocol, SecurityParameters
from qanat.protocols.finite_key import PhaseErrors, lim_length, secret_length

getcontext().prec = 40
D = Decimal
LN2 = D(2).ln()

PAPER = DecoyProtocol()
LIM = DecoyProtocol(intensities=(0.5, 0.12, 0.0002), p_intensities=(0.65, 0.22, 0.13), p_rectilinear=0.9)

LARGE = BasisCounts((2_220_000, 124_000, 103), (11_400, 670, 51), 2_000_000)
SMALL = BasisCounts((280_000, 15_300, 30), (1_800, 120, 14), 250_000)
NOISY = BasisCounts((2_400_000, 130_000, 400), (96_000, 5_300, 203), 2_100_000)
TINY = BasisCounts((900, 60, 1), (9, 1, 0), 800)


def log2(x: D) -> D:
    return x.ln() / LN2


def h(x: D) -> D:
    return -x * log2(x) - (1 - x) * log2(1 - x)


class Lim:
    """One basis pair, in the paper's letters: s0, s1 of the key basis X, phi from the test basis Z."""

    def __init__(self, protocol: DecoyProtocol, eps_1: D) -> None:
        self.mu = [D(mu) for mu in protocol.intensities]
        self.p = [D(p) for p in protocol.p_intensities]
        self.eps_1 = eps_1

    def tau(self, n: int) -> D:
        return sum(p * (-k).exp() * (k**n if n else 1) for p, k in zip(self.p, self.mu, strict=True))

    def n_pm(self, counts: tuple[int, int, int], k: int, sign: int) -> D:
        delta = (D(sum(counts)) / 2 * (1 / self.eps_1).ln()).sqrt()
        value = self.mu[k].exp() / self.p[k] * (counts[k] + sign * delta)
        return max(D(0), value) if sign < 0 else value

    def s0(self, n: tuple[int, int, int]) -> D:
        _, mu2, mu3 = self.mu
        return max(D(0), self.tau(0) * (mu2 * self.n_pm(n, 2, -1) - mu3 * self.n_pm(n, 1, +1)) / (mu2 - mu3))

    def s1(self, n: tuple[int, int, int]) -> D:
        mu1, mu2, mu3 = self.mu
        bracket = self.n_pm(n, 1, -1) - self.n_pm(n, 2, +1)
        bracket -= (mu2**2 - mu3**2) / mu1**2 * (self.n_pm(n, 0, +1) - self.s0(n) / self.tau(0))
        return max(D(0), self.tau(1) * mu1 * bracket / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2))

    def v1(self, m: tuple[int, int, int]) -> D:
        _, mu2, mu3 = self.mu
        return max(D(0), self.tau(1) * (self.n_pm(m, 1, +1) - self.n_pm(m, 2, -1)) / (mu2 - mu3))

    def phi(self, v1: D, s1_z: D, s1_x: D, *, power: int = 1) -> D:
        if s1_x <= 0 or s1_z <= 0:
            return D("0.5")
        b, c, d = v1 / s1_z, s1_x, s1_z
        if not 0 < b < 1:
            return min(b, D("0.5"))
        inside = (c + d) / (c * d * (1 - b) * b) / self.eps_1 ** (2 * power)
        gamma = ((c + d) * (1 - b) * b / (c * d * LN2) * log2(inside)).sqrt()
        return min(D("0.5"), b + gamma)

    def sample(self, n: int, events: D, basis: BasisCounts) -> D:
        """Signal's part of the n-photon events, then the undisclosed part of it; one deviation each."""
        q = self.p[0] * (-self.mu[0]).exp() * (self.mu[0] if n else 1) / self.tau(n)
        signal = max(D(0), q * events - (events / 2 * (1 / self.eps_1).ln()).sqrt())
        kept = D(basis.key_bits) / basis.clicks[0] * signal
        return max(D(0), kept - (signal / 2 * (1 / self.eps_1).ln()).sqrt())


@pytest.mark.parametrize("protocol", [PAPER, LIM], ids=["paper", "lim"])
@pytest.mark.parametrize(("key", "test"), [(LARGE, SMALL), (SMALL, LARGE), (NOISY, LARGE), (TINY, TINY)])
def test_the_published_length_agrees_to_one_bit(key: BasisCounts, test: BasisCounts, protocol: DecoyProtocol) -> None:
    eps_sec, eps_cor = D("1e-9"), D("1e-15")
    lim = Lim(protocol, eps_sec / 21)
    s1_x = lim.s1(key.clicks)
    phi = lim.phi(lim.v1(test.errors), lim.s1(test.clicks), s1_x)
    expected = lim.s0(key.clicks) + s1_x * (1 - h(phi)) - 20_000 - 6 * log2(21 / eps_sec) - log2(2 / eps_cor)
    got = lim_length(key, test, protocol, eps_sec=1e-9, eps_cor=1e-15, leaked_bits=20_000)
    assert abs(got - max(D(0), expected)) <= 1


@pytest.mark.parametrize("phase_errors", PhaseErrors)
@pytest.mark.parametrize("protocol", [PAPER, LIM], ids=["paper", "lim"])
@pytest.mark.parametrize(("first", "second"), [(LARGE, LARGE), (LARGE, SMALL), (NOISY, LARGE), (TINY, LARGE)])
def test_the_length_of_the_system_agrees_to_one_bit(
    first: BasisCounts, second: BasisCounts, protocol: DecoyProtocol, phase_errors: PhaseErrors
) -> None:
    eps_sec, eps_cor = D("0.999e-9"), D("1e-15")
    eps_1 = eps_sec / 2 / 25
    lim = Lim(protocol, eps_1)
    expected = D(-30_000) - 12 * log2(1 / eps_1) - log2(2 / eps_cor)
    for key, test in ((first, second), (second, first)):
        v1 = lim.v1(test.errors)
        if phase_errors is PhaseErrors.DECOY_OR_COUNTED:
            v1 = min(v1, D(sum(test.errors)))
        v1 = max(v1, 2 * log2(1 / eps_1))
        s1, s1_test = lim.sample(1, lim.s1(key.clicks), key), lim.s1(test.clicks)
        phi = lim.phi(v1, s1_test, s1, power=2) if s1 >= D("0.6") * s1_test else D("0.5")
        expected += lim.sample(0, lim.s0(key.clicks), key) + s1 * (1 - h(phi))
    got = secret_length(
        DecoyCounts(first, second), protocol, SecurityParameters(), leaked_bits=30_000, phase_errors=phase_errors
    )
    assert abs(got.num_bits - max(D(0), expected)) <= 1
    if first is LARGE and second is LARGE and protocol is PAPER:
        assert got.num_bits > 100_000
