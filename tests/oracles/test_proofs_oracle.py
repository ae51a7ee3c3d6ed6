"""Every proof against a second evaluation on 200 seeded count records each, to one bit.

The second program is straightforward: one block, decimal arithmetic of 40 digits, bisection where something is to be
solved for, in the letters of the papers; it shares no code with the package. Sources of the equations: Lim et al., PRA
89, 022307 (2014), (1) to (5); Rusca et al., Appl. Phys. Lett. 112, 171104 (2018), (A16) to (A25); Ma et al., PRA 72,
012326 (2005), vacuum + weak; Fung, Ma, Chau, PRA 81, 012318 (2010). For Yin et al., Sci. Rep. 10, 14312 (2020), and
Wiesemann et al., arXiv:2405.16578, no equation was seen: there the second program starts from the inequalities that
the closed forms solve (tail odds of a count, a quadratic in the phase error rate, Serfling's inequality). The Gaussian
quantile comes from the series of the error function by bisection, not from the standard library's inverse.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal, getcontext
from functools import lru_cache

import pytest

from qanat.protocols.decoy import BasisCounts, DecoyCounts, DecoyProtocol, SecurityParameters
from qanat.protocols.finite_key import correctness_cost_bits, secrecy_cost_bits
from qanat.protocols.one_decoy import NUM_ERROR_TERMS as NUM_ERROR_TERMS_ONE_DECOY
from qanat.protocols.proofs import PROOFS

getcontext().prec = 40
D = Decimal
LN2 = D(2).ln()
ZERO, HALF, ONE = D(0), D("0.5"), D(1)
PI = D("3.14159265358979323846264338327950288419716939937510582097494")
NUM_RECORDS = 200
SLOW = {"chernoff": 60, "chernoff-literal": 40, "fung-ma-chau-2010": 60}
"""Of these so many: their roots are looked for by bisection of 40 digits. All of them run with the campaigns."""
PROTOCOLS = (
    DecoyProtocol(),
    DecoyProtocol(intensities=(0.5, 0.1, 0.0), p_intensities=(0.7, 0.2, 0.1)),
)
SECURITY = SecurityParameters(eps_sec=1e-9)
EPS_SEC, EPS_COR, EPS_AUTH = D("1e-9"), D("1e-15"), D("1e-22")
Bound = Callable[[D, D], D]


def lb(x: D) -> D:
    return x.ln() / LN2


def h(x: D) -> D:
    return ZERO if x <= 0 or x >= 1 else -x * lb(x) - (1 - x) * lb(1 - x)


def root(f: Callable[[D], D], low: D, high: D) -> D:
    """Where the increasing function f passes 0."""
    for _ in range(110):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return (low + high) / 2


def g(x: D, mean: D) -> D:
    return (x * (x / mean).ln() if x > 0 else ZERO) + mean - x


@lru_cache
def quantile(eps: D) -> D:
    """z with a Gaussian tail of eps above it: erfc by its series, z by bisection; 60 digits against cancellation."""
    context = getcontext()
    context.prec = 60

    def tail(z: D) -> D:
        term = total = z
        n = 0
        while abs(term) > D("1e-58"):
            n += 1
            term = term * -z * z / (2 * n)
            total += term / (2 * n + 1)
        return HALF - total / (2 * PI).sqrt()

    z = root(lambda z: eps - tail(z), D(1), D(9))
    context.prec = 40
    return z


class Chance:
    """One kind of deviation at failure odds eps: bounds on means (x of n) and on samples (n events, odds q).

    The term for unequal samples, ``phase``, is asked for eps to the ``power``.
    """

    def __init__(self, kind: str, eps: D, *, power: int = 1) -> None:
        self.kind, self.eps, self.log, self.power = kind, eps, (1 / eps).ln(), power

    def hoeffding(self, n: D) -> D:
        return (n / 2 * self.log).sqrt()

    def chernoff_mean(self, x: D, sign: int) -> D:
        if x == 0:
            return self.log if sign > 0 else ZERO
        if sign > 0:
            return root(lambda e: g(x, e) - self.log, x, x + 4 * self.log + 4 * (x * self.log).sqrt())
        return root(lambda e: self.log - g(x, e), D("1e-60"), x)

    def chernoff_count(self, e: D, sign: int) -> D:
        if e == 0 or (sign < 0 and e <= self.log):
            return ZERO
        if sign > 0:
            return root(lambda x: g(x, e) - self.log, e, e + 4 * self.log + 4 * (e * self.log).sqrt())
        return root(lambda x: self.log - g(x, e), ZERO, e)

    def mean(self, x: D, n: D, sign: int) -> D:
        if self.kind == "none":
            return x
        if self.kind == "hoeffding":
            return x + sign * self.hoeffding(n)
        if self.kind == "gaussian":
            return x + sign * quantile(self.eps) * x.sqrt()
        literal = self.chernoff_mean(x, sign)
        if self.kind == "chernoff-literal":
            return literal
        three = (literal, n - self.chernoff_mean(n - x, -sign), x + sign * self.hoeffding(n))
        return min(three) if sign > 0 else max(three)

    def sample(self, n: D, q: D) -> D:
        mean = n * q
        if self.kind == "none":
            return mean
        if self.kind == "gaussian":
            return max(ZERO, mean - quantile(self.eps) * (mean * (1 - q)).sqrt())
        literal = self.chernoff_count(mean, -1)
        if self.kind == "chernoff-literal":
            return max(ZERO, literal)
        hoeffding = mean - self.hoeffding(n)
        if self.kind == "hoeffding":
            return max(ZERO, hoeffding)
        return max(ZERO, hoeffding, literal, n - self.chernoff_count(n - mean, +1))


class Decoy:
    """Bounds of one basis: s0, s1 and v1 of Lim et al."""

    def __init__(self, protocol: DecoyProtocol, basis: BasisCounts, chance: Chance, *, counted: bool) -> None:
        mu1, mu2, mu3 = (D(mu) for mu in protocol.intensities)
        self.mu, self.p = (mu1, mu2, mu3), tuple(D(p) for p in protocol.p_intensities)
        n, m = [D(x) for x in basis.clicks], [D(x) for x in basis.errors]

        def scaled(counts: list[D], k: int, sign: int) -> D:
            value = self.mu[k].exp() / self.p[k] * chance.mean(counts[k], sum(counts), sign)
            return max(ZERO, value) if sign < 0 else value

        self.s0 = max(ZERO, self.tau(0) * (mu2 * scaled(n, 2, -1) - mu3 * scaled(n, 1, 1)) / (mu2 - mu3))
        bracket = scaled(n, 1, -1) - scaled(n, 2, 1)
        bracket -= (mu2**2 - mu3**2) / mu1**2 * (scaled(n, 0, 1) - self.s0 / self.tau(0))
        self.s1 = max(ZERO, self.tau(1) * mu1 * bracket / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2))
        v1 = max(ZERO, self.tau(1) * (scaled(m, 1, 1) - scaled(m, 2, -1)) / (mu2 - mu3))
        v1 = min(v1, sum(m)) if counted else v1
        self.v1 = max(v1, ZERO if chance.kind == "none" else chance.power * lb(1 / chance.eps))

    def tau(self, n: int) -> D:
        return sum(p * (-k).exp() * (k if n else ONE) for p, k in zip(self.p, self.mu, strict=True))

    def in_key(self, n: int, events: D, basis: BasisCounts, chance: Chance) -> D:
        share = self.p[0] * (-self.mu[0]).exp() * (self.mu[0] if n else ONE) / self.tau(n)
        return chance.sample(chance.sample(events, share), D(basis.key_bits) / D(max(1, basis.clicks[0])))


def phase(v1: D, s1_test: D, s1_key: D, chance: Chance, *, least_share: D) -> D:
    """Equation (5); 1/2 for a key sample below the least share of the test sample."""
    if s1_test <= 0 or s1_key <= 0 or (chance.kind != "none" and s1_key < least_share * s1_test):
        return HALF
    b, c, d = min(HALF, v1 / s1_test), s1_key, s1_test
    if chance.kind == "none" or b == 0:
        return b
    inside = max(ONE, (c + d) / (c * d * (1 - b) * b) / chance.eps ** (2 * chance.power))
    return min(HALF, b + ((c + d) * (1 - b) * b / (c * d * LN2) * lb(inside)).sqrt())


def both_bases(kind: str, counts: DecoyCounts, protocol: DecoyProtocol, leak: D) -> D:
    chance = Chance(kind, EPS_SEC / 50, power=2)
    records = (counts.rectilinear, counts.diagonal)
    bounds = [Decoy(protocol, record, chance, counted=True) for record in records]
    total = -leak - 12 * lb(50 / EPS_SEC) - lb(2 / EPS_COR)
    for b in (0, 1):
        s1 = bounds[b].in_key(1, bounds[b].s1, records[b], chance)
        phi = phase(bounds[1 - b].v1, bounds[1 - b].s1, s1, chance, least_share=D("0.6"))
        total += bounds[b].in_key(0, bounds[b].s0, records[b], chance) + s1 * (1 - h(phi))
    return total


def lim(counts: DecoyCounts, protocol: DecoyProtocol, leak: D) -> D:
    chance = Chance("hoeffding", EPS_SEC / 21)
    x, z = (Decoy(protocol, record, chance, counted=False) for record in (counts.rectilinear, counts.diagonal))
    phi = phase(z.v1, z.s1, x.s1, chance, least_share=ZERO)
    return x.s0 + x.s1 * (1 - h(phi)) - leak - 6 * lb(21 / EPS_SEC) - lb(2 / EPS_COR)


def rusca(counts: DecoyCounts, protocol: DecoyProtocol, leak: D) -> D:
    eps = EPS_SEC / 19
    mu1, mu2 = D(protocol.intensities[0]), D(protocol.intensities[1])
    p1 = D(protocol.p_intensities[0]) / (D(protocol.p_intensities[0]) + D(protocol.p_intensities[1]))
    p2 = 1 - p1
    tau0 = p1 * (-mu1).exp() + p2 * (-mu2).exp()
    tau1 = p1 * (-mu1).exp() * mu1 + p2 * (-mu2).exp() * mu2

    def delta(n: D) -> D:
        return (n / 2 * (1 / eps).ln()).sqrt()

    def bounds(record: BasisCounts) -> tuple[D, D, D]:
        n1, n2, m1, m2 = (D(x) for x in (*record.clicks[:2], *record.errors[:2]))
        dn, dm = delta(n1 + n2), delta(m1 + m2)
        n1_up, n2_low = mu1.exp() / p1 * (n1 + dn), max(ZERO, mu2.exp() / p2 * (n2 - dn))
        m1_up, m2_low = mu1.exp() / p1 * (m1 + dm), max(ZERO, mu2.exp() / p2 * (m2 - dm))
        s0_low = max(ZERO, tau0 / (mu1 - mu2) * (mu1 * n2_low - mu2 * n1_up))
        s0_up = 2 * (tau0 * mu2.exp() / p2 * (m2 + dm) + dn)
        s1 = n2_low - mu2**2 / mu1**2 * n1_up - (mu1**2 - mu2**2) / mu1**2 * s0_up / tau0
        s1 = max(ZERO, tau1 * mu1 / (mu2 * (mu1 - mu2)) * s1)
        return s0_low, s1, max(tau1 / (mu1 - mu2) * (m1_up - m2_low), lb(1 / eps))

    s0, s1, _ = bounds(counts.rectilinear)
    _, s1_test, v1 = bounds(counts.diagonal)
    phi = phase(v1, s1_test, s1, Chance("hoeffding", eps), least_share=ZERO)
    return s0 + s1 * (1 - h(phi)) - leak - 6 * lb(19 / EPS_SEC) - lb(2 / EPS_COR)


def ma(counts: DecoyCounts, protocol: DecoyProtocol, leak: D) -> D:
    mu, nu = D(protocol.intensities[0]), D(protocol.intensities[1])
    p = [D(x) for x in protocol.p_intensities]
    y1, e1, share = [], [], []
    for record in (counts.rectilinear, counts.diagonal):
        q_mu, q_nu, y0 = (D(n) / odds for n, odds in zip(record.clicks, p, strict=True))
        bracket = q_nu * nu.exp() - q_mu * mu.exp() * nu**2 / mu**2 - (mu**2 - nu**2) / mu**2 * y0
        y1.append(max(ZERO, mu / (mu * nu - nu**2) * bracket))
        wrong = D(record.errors[1]) / p[1] * nu.exp() - y0 / 2
        e1.append(min(HALF, max(ZERO, wrong / (y1[-1] * nu))) if y1[-1] > 0 else HALF)
        share.append(D(record.key_bits) / D(max(1, record.clicks[0])))
    return sum(share[b] * p[0] * y1[b] * mu * (-mu).exp() * (1 - h(e1[1 - b])) for b in (0, 1)) - leak


def fung(counts: DecoyCounts, protocol: DecoyProtocol, leak: D) -> D:
    chance = Chance("hoeffding", EPS_SEC / 50)
    records = (counts.rectilinear, counts.diagonal)
    bounds = [Decoy(protocol, record, chance, counted=True) for record in records]
    total = -leak - lb(1 / chance.eps)
    for b in (0, 1):
        n_z, n_x = bounds[b].in_key(1, bounds[b].s1, records[b], chance), bounds[1 - b].s1
        if n_z <= 0 or n_x <= 0 or n_z < D("0.6") * n_x:
            continue
        e, q = min(HALF, bounds[1 - b].v1 / n_x), n_x / (n_x + n_z)

        def ln_odds(theta: D, e: D = e, q: D = q, n_x: D = n_x, n_z: D = n_z) -> D:
            xi = h(e + theta - q * theta) - q * h(e) - (1 - q) * h(e + theta)
            return ((n_x + n_z) / (e * (1 - e) * n_x * n_z)).ln() / 2 - (n_x + n_z) * xi * LN2

        if e < HALF:
            total += n_z * (1 - h(e + root(lambda t: chance.eps.ln() - ln_odds(t), ZERO, HALF - e)))
    key = D(sum(record.key_bits for record in records))
    events = D(sum(sum(record.clicks) for record in records))
    for n, eps in ((events, EPS_AUTH), (events, EPS_AUTH), (key, EPS_COR), (2 * key, EPS_AUTH)):
        total -= lb(2 * max(ONE, n) / eps).to_integral_value(rounding="ROUND_CEILING")
    return total


def yin(counts: DecoyCounts, protocol: DecoyProtocol, leak: D) -> D:
    mu, nu = D(protocol.intensities[0]), D(protocol.intensities[1])
    p_mu, p_nu, p_0 = (D(p) for p in protocol.p_intensities)
    log = (23 / EPS_SEC).ln()

    def lower_tail_means(x: D) -> D:
        """The mean E from which a count of x or fewer has odds exp(-(E - x)^2 / (2 E)) = eps."""
        return root(lambda e: (e - x) ** 2 / (2 * e) - log, max(x, D("1e-20")), 4 * (x + log))

    def upper_tail_means(x: D) -> D:
        """The mean E from which a count of x or more has odds exp(-(x - E)^2 / (x + E)) = eps, less log(1/eps)."""
        e = root(lambda e: log - (x - e) ** 2 / (x + e), -2 * log, x) if x > 0 else -log
        return max(ZERO, e - log)

    def fewest(e: D) -> D:
        return max(ZERO, e - (2 * log * e).sqrt())

    def most(e: D) -> D:
        """The count with odds exp(-(x - e)^2 / (x + e)) = eps above the mean e."""
        return root(lambda x: (x - e) ** 2 / (x + e) - log, e + D("1e-20"), 4 * (e + log))

    def bounds(record: BasisCounts) -> tuple[D, D, D]:
        n_mu, n_nu, n_0 = (D(n) for n in record.clicks)
        s1 = nu.exp() / p_nu * upper_tail_means(n_nu) - nu**2 / mu**2 * mu.exp() / p_mu * lower_tail_means(n_mu)
        s1 -= (mu**2 - nu**2) / mu**2 / p_0 * lower_tail_means(n_0)
        ones = p_mu * mu * (-mu).exp() + p_nu * nu * (-nu).exp()
        s1 = max(ZERO, ones * mu / (mu * nu - nu**2) * s1)
        t1 = nu.exp() / p_nu * lower_tail_means(D(record.errors[1])) - upper_tail_means(n_0) / (2 * p_0)
        s0 = (p_mu * (-mu).exp() + p_nu * (-nu).exp()) / p_0 * upper_tail_means(n_0)
        return fewest(s0), fewest(s1), most(max(ZERO, ones / nu * t1))

    s0, n, _ = bounds(counts.rectilinear)
    _, k, t = bounds(counts.diagonal)
    phi = HALF
    if n > 0 and k > 0 and t / k < HALF:
        b, share = t / k, max(n, k) / (n + k)
        size = (n + k) / (n * k) * (((n + k) / (2 * PI * n * k * b * (1 - b))).ln() + 2 * log)
        # gamma solves g^2 = size (b + g share)(1 - b - g share): the spread at a rate between sample and whole.
        g = root(lambda g: g * g - size * (b + g * share) * (1 - b - g * share), ZERO, ONE)
        phi = min(HALF, b + g)
    return s0 + n * (1 - h(phi)) - leak - 6 * lb(23 / EPS_SEC) - lb(2 / EPS_COR)


def wiesemann(counts: DecoyCounts, protocol: DecoyProtocol, leak: D) -> D:
    mu1, mu2 = D(protocol.intensities[0]), D(protocol.intensities[1])
    p1, p2 = (D(p) / (D(protocol.p_intensities[0]) + D(protocol.p_intensities[1])) for p in protocol.p_intensities[:2])
    log = (15 / EPS_SEC).ln()
    tau0 = p1 / mu1.exp() + p2 / mu2.exp()
    tau1 = p1 * mu1 / mu1.exp() + p2 * mu2 / mu2.exp()

    def bounds(record: BasisCounts) -> tuple[D, D]:
        n1, n2, c1, c2 = (D(x) for x in (*record.clicks[:2], *record.errors[:2]))
        n, c = n1 + n2, c1 + c2
        dn, dc = (n * log / 2).sqrt(), (c * log / 2).sqrt()
        n1_up, n2_low = min(n, n1 + dn), max(ZERO, n2 - dn)
        c1_up, c2_up, c2_low = min(c, c1 + dc), min(c, c2 + dc), max(ZERO, c2 - dc)
        s0_up = min(n, 2 * (tau0 * mu2.exp() / p2 * c2_up + dn))
        two_or_more = (mu2 / mu1) ** 2 * (mu1.exp() * n1_up / p1 - s0_up / tau0)
        s1 = mu1 * tau1 / (mu2 * (mu1 - mu2)) * (mu2.exp() * n2_low / p2 - s0_up / tau0 - two_or_more)
        v1 = tau1 / (mu1 - mu2) * (mu1.exp() * c1_up / p1 - mu2.exp() * c2_low / p2)
        return min(n, max(ZERO, s1)), min(n, max(ZERO, v1))

    key, _ = bounds(counts.rectilinear)
    test, wrong = bounds(counts.diagonal)
    phi = HALF
    if key > 0 and test > 0:
        # Serfling: the test mean lies t below that of all with odds exp(-2 test t^2 / (1 - (test - 1) / all)) = eps^2.
        t = (log * (1 - (test - 1) / (test + key)) / test).sqrt()
        phi = min(HALF, min(HALF, wrong / test) + t * (test + key) / key)
    one_chain_rule, hashing = lb(2 * (15 / EPS_SEC) ** 2), 2 * lb(15 / EPS_SEC / 2)
    return key * (1 - h(phi)) - leak - one_chain_rule - hashing - lb(2 / EPS_COR)


ORACLES: dict[str, Callable[[DecoyCounts, DecoyProtocol, D], D]] = {
    **{
        kind: lambda counts, protocol, leak, kind=kind: both_bases(kind, counts, protocol, leak)
        for kind in ("hoeffding", "chernoff", "chernoff-literal", "gaussian", "none")
    },
    "lim-2014": lim,
    "rusca-2018": rusca,
    "yin-2020": yin,
    "wiesemann-2024": wiesemann,
    "fung-ma-chau-2010": fung,
    "asymptotic": ma,
}


def draw_basis(dice: random.Random, protocol: DecoyProtocol, scale: float) -> BasisCounts:
    """Counts of a basis whose light yields eta per photon with noise and errors, each scattered about its mean."""
    eta, noise = scale, scale * 10 ** dice.uniform(-5, -2)
    wrong = dice.uniform(0.001, 0.04)
    clicks, errors = [], []
    for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True):
        mean = p * (noise + eta * mu)
        count = max(0, round(dice.gauss(mean, mean**0.5)))
        mean_errors = p * (noise / 2 + eta * mu * wrong)
        clicks.append(count)
        errors.append(min(count, max(0, round(dice.gauss(mean_errors, mean_errors**0.5)))))
    return BasisCounts(tuple(clicks), tuple(errors), round(0.9 * clicks[0]))  # type: ignore[arg-type]


def draw_record(dice: random.Random, protocol: DecoyProtocol) -> DecoyCounts:
    scale = 10 ** dice.uniform(4.5, 8.5)
    return DecoyCounts(*(draw_basis(dice, protocol, scale * dice.uniform(0.7, 1.4)) for _ in range(2)))


def test_every_proof_has_a_second_evaluation() -> None:
    assert set(ORACLES) == set(PROOFS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_agrees_with_its_second_evaluation_to_one_bit(name: str) -> None:
    check_records(name, SLOW.get(name, NUM_RECORDS))


@pytest.mark.campaign
@pytest.mark.parametrize("name", SLOW)
def test_a_slow_proof_agrees_on_all_records_too(name: str) -> None:
    check_records(name, NUM_RECORDS)


def check_records(name: str, num_records: int) -> None:
    """Compare a proof with its second evaluation on drawn records, of which a third must yield a key."""
    dice = random.Random(f"records of {name}")
    num_positive = 0
    for number in range(num_records):
        protocol = PROTOCOLS[number % len(PROTOCOLS)]
        counts = draw_record(dice, protocol)
        leak = int(PROOFS[name].leaked_bits(counts, f_ec=1.1))
        got = PROOFS[name].length(counts, protocol, SECURITY, leaked_bits=leak).num_bits
        expected = max(ZERO, ORACLES[name](counts, protocol, D(leak)))
        assert abs(got - expected) <= 1, (counts, protocol)
        num_positive += got > 0
    assert num_positive > num_records / 3


def test_the_fixed_costs_are_those_of_two_other_programs() -> None:
    """206 and 51 bits at eps_sec 1e-9 and eps_cor 1e-15, and 19 terms in place of 21 with one decoy."""
    assert round(6 * lb(21 / EPS_SEC)) == round(secrecy_cost_bits(1e-9, num_error_terms=21)) == 206
    assert round(lb(2 / EPS_COR)) == round(correctness_cost_bits(1e-15)) == 51
    assert NUM_ERROR_TERMS_ONE_DECOY == 19
