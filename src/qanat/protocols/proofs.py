"""Every proof by its name: one count record in, one secret length out, with all its terms.

A proof says what it assumes, whether its key is composable, and which key it speaks of: its length is charged with
what error correction tells about that key. All are for the same light. What is common to all composable ones:
phase-randomised pulses whose intensity is exact, bits and bases at random, Bob's basis independent of all before (see
docs/decisions/0005), detectors that are equally efficient in both bases, an authenticated channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np

from qanat.ground.errors import RequestError
from qanat.protocols.asymptotic import vacuum_and_weak
from qanat.protocols.decoy import SIGNAL, DecoyCounts, DecoyProtocol, Reckoning, SecretLength, SecurityParameters
from qanat.protocols.deviation import Method, Quantity
from qanat.protocols.entropy import binary_entropies
from qanat.protocols.finite_key import Basis, Counts, both_bases, check_counts, one_basis
from qanat.protocols.one_decoy import basis_without_vacuum, one_decoy, without_vacuum
from qanat.protocols.one_decoy_fixed_length import one_decoy_fixed_length
from qanat.protocols.recipe import recipe_2010
from qanat.protocols.tight_bounds import three_intensities

Reckon: TypeAlias = Callable[[Counts, DecoyProtocol, SecurityParameters, Quantity], Reckoning]
KeyOf: TypeAlias = Callable[[Counts], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Proof:
    """A way from counts to a secret length.

    ``reckon`` takes counts (of one block or arrays of many), protocol, security and the bits told by error correction;
    ``key_of`` gives the bits of the key before amplification and its error rate; ``without_chance`` is the same proof
    with every count taken for its mean, which it can never exceed.
    """

    name: str
    source: str
    key: str
    assumptions: str
    is_composable: bool
    reckon: Reckon
    without_chance: Reckon
    key_of: KeyOf

    def length(
        self, counts: DecoyCounts, protocol: DecoyProtocol, security: SecurityParameters, *, leaked_bits: float
    ) -> SecretLength:
        """Return the secret length of one block. Raises ValueError on counts that cannot be."""
        if not leaked_bits >= 0:
            raise ValueError(f"leaked_bits must be zero or more, got {leaked_bits}")
        for basis in (counts.rectilinear, counts.diagonal):
            check_counts(basis)
        return self.reckon(counts, protocol, security, leaked_bits).secret_length(self.name)

    def leaked_bits(self, counts: Counts, *, f_ec: float) -> Any:
        """Bits that error correction is expected to tell: f_ec times the Shannon limit of this proof's key, rounded."""
        num_bits, error_rate = self.key_of(counts)
        return np.rint(f_ec * num_bits * binary_entropies(error_rate))


def proof_named(name: str) -> Proof:
    """Return the proof of that name; raises RequestError, which lists the names there are."""
    try:
        return PROOFS[name]
    except KeyError:
        raise RequestError(f"there is no proof {name!r}", remedy=f"known proofs: {', '.join(PROOFS)}") from None


def _both(
    counts: Counts, protocol: DecoyProtocol, security: SecurityParameters, leaked_bits: Quantity, *, method: Method
) -> Reckoning:
    return both_bases(counts, protocol, security, leaked_bits=leaked_bits, method=method)


def _lim(
    counts: Counts, protocol: DecoyProtocol, security: SecurityParameters, leaked_bits: Quantity, *, method: Method
) -> Reckoning:
    return one_basis(
        counts.rectilinear,
        counts.diagonal,
        protocol,
        eps_sec=security.eps_sec,
        eps_cor=security.eps_cor,
        leaked_bits=leaked_bits,
        method=method,
    )


def _rusca(
    counts: Counts, protocol: DecoyProtocol, security: SecurityParameters, leaked_bits: Quantity, *, method: Method
) -> Reckoning:
    return one_decoy(
        basis_without_vacuum(counts.rectilinear),
        basis_without_vacuum(counts.diagonal),
        without_vacuum(protocol),
        eps_sec=security.eps_sec,
        eps_cor=security.eps_cor,
        leaked_bits=leaked_bits,
        method=method,
    )


def _wiesemann(
    counts: Counts, protocol: DecoyProtocol, security: SecurityParameters, leaked_bits: Quantity, *, has_chance: bool
) -> Reckoning:
    return one_decoy_fixed_length(
        basis_without_vacuum(counts.rectilinear),
        basis_without_vacuum(counts.diagonal),
        without_vacuum(protocol),
        eps_sec=security.eps_sec,
        eps_cor=security.eps_cor,
        leaked_bits=leaked_bits,
        has_chance=has_chance,
    )


def _yin(
    counts: Counts, protocol: DecoyProtocol, security: SecurityParameters, leaked_bits: Quantity, *, has_chance: bool
) -> Reckoning:
    return three_intensities(counts, protocol, security, leaked_bits=leaked_bits, has_chance=has_chance)


def _fung(
    counts: Counts, protocol: DecoyProtocol, security: SecurityParameters, leaked_bits: Quantity, *, method: Method
) -> Reckoning:
    return recipe_2010(counts, protocol, security, leaked_bits=leaked_bits, method=method)


def _asymptotic(
    counts: Counts, protocol: DecoyProtocol, _security: SecurityParameters, leaked_bits: Quantity
) -> Reckoning:
    return vacuum_and_weak(counts, protocol, leaked_bits=leaked_bits)


def _undisclosed_signal(counts: Counts) -> tuple[Any, Any]:
    by_basis = (counts.rectilinear, counts.diagonal)
    clicks = sum(np.asarray(basis.clicks[SIGNAL]) for basis in by_basis)
    errors = sum(np.asarray(basis.errors[SIGNAL]) for basis in by_basis)
    key_bits = by_basis[0].key_bits + np.asarray(by_basis[1].key_bits)
    return key_bits, errors / np.maximum(1.0, clicks)


def _whole_basis(basis: Basis, num_intensities: int) -> tuple[Any, Any]:
    clicks = sum(np.asarray(count) for count in basis.clicks[:num_intensities])
    errors = sum(np.asarray(count) for count in basis.errors[:num_intensities])
    return clicks, errors / np.maximum(1.0, clicks)


_SIGNAL_KEY: Final = "undisclosed signal of both bases, each the other's test"
_LIM: Final = "Lim et al., PRA 89, 022307 (2014), eqs. (1) to (5)"


def _of_both(name: str, method: Method, source: str, assumptions: str, *, is_composable: bool) -> Proof:
    return Proof(
        name=name,
        source=source,
        key=_SIGNAL_KEY,
        assumptions=assumptions,
        is_composable=is_composable,
        reckon=partial(_both, method=method),
        without_chance=partial(_both, method=Method.NONE),
        key_of=_undisclosed_signal,
    )


_ALL: Final = (
    _of_both(
        "hoeffding",
        Method.HOEFFDING,
        f"{_LIM}, with sampling terms (docs/decisions/0004)",
        "joint use of two bases as in docs/decisions/0004",
        is_composable=True,
    ),
    _of_both(
        "chernoff",
        Method.CHERNOFF,
        f"{_LIM}, with the multiplicative Chernoff bound or Hoeffding's, the smaller",
        "as hoeffding",
        is_composable=True,
    ),
    _of_both(
        "chernoff-literal",
        Method.CHERNOFF_LITERAL,
        f"{_LIM}, with the multiplicative Chernoff bound for every count",
        "as hoeffding",
        is_composable=True,
    ),
    _of_both(
        "gaussian",
        Method.GAUSSIAN,
        f"{_LIM}, with deviations z sqrt(n)",
        "counts follow the normal law: an approximation, as experiments around 2017 made it",
        is_composable=False,
    ),
    _of_both(
        "none",
        Method.NONE,
        f"{_LIM}, without deviations",
        "every count is its mean: no fluctuation, the most that any of these can give",
        is_composable=False,
    ),
    Proof(
        name="lim-2014",
        source=f"{_LIM}, as published",
        key="all intensities of the rectilinear basis; the diagonal basis tests",
        assumptions="the key sample is not far smaller than the test sample",
        is_composable=True,
        reckon=partial(_lim, method=Method.HOEFFDING),
        without_chance=partial(_lim, method=Method.NONE),
        key_of=lambda counts: _whole_basis(counts.rectilinear, 3),
    ),
    Proof(
        name="rusca-2018",
        source="Rusca et al., Appl. Phys. Lett. 112, 171104 (2018), eqs. (A16) to (A25)",
        key="signal and decoy of the rectilinear basis; the diagonal basis tests; vacuum pulses not looked at",
        assumptions="the key sample is not far smaller than the test sample",
        is_composable=True,
        reckon=partial(_rusca, method=Method.HOEFFDING),
        without_chance=partial(_rusca, method=Method.NONE),
        key_of=lambda counts: _whole_basis(counts.rectilinear, 2),
    ),
    Proof(
        name="yin-2020",
        source="Yin et al., Sci. Rep. 10, 14312 (2020)",
        key="signal and decoy of the rectilinear basis; the diagonal basis tests",
        assumptions=(
            "events without a photon are wrong half of the time in the mean; its sampling bound is below eps for each "
            "single outcome, not for the tail, and falls short for more than some hundred errors"
        ),
        is_composable=False,
        reckon=partial(_yin, has_chance=True),
        without_chance=partial(_yin, has_chance=False),
        key_of=lambda counts: _whole_basis(counts.rectilinear, 2),
    ),
    Proof(
        name="wiesemann-2024",
        source="Wiesemann et al., Quantum 10, 2037 (2026), arXiv:2405.16578, one decoy",
        key="one-photon events among signal and decoy of the rectilinear basis; the diagonal basis tests; no vacuum",
        assumptions="the length is agreed on beforehand, and blocks with worse counts are dropped",
        is_composable=True,
        reckon=partial(_wiesemann, has_chance=True),
        without_chance=partial(_wiesemann, has_chance=False),
        key_of=lambda counts: _whole_basis(counts.rectilinear, 2),
    ),
    Proof(
        name="fung-ma-chau-2010",
        source="Fung, Ma, Chau, PRA 81, 012318 (2010), on the decoy bounds of hoeffding",
        key=_SIGNAL_KEY,
        assumptions=(
            "its epsilon is a probability of failure, not a distance, and its sampling bound, as written here, falls "
            "short of the exact tail for thousands of errors; tags are paid out of the key"
        ),
        is_composable=False,
        reckon=partial(_fung, method=Method.HOEFFDING),
        without_chance=partial(_fung, method=Method.NONE),
        key_of=_undisclosed_signal,
    ),
    Proof(
        name="asymptotic",
        source="Ma et al., PRA 72, 012326 (2005), vacuum + weak",
        key=_SIGNAL_KEY,
        assumptions="endless keys; events without a photon are wrong half of the time and make no key",
        is_composable=False,
        reckon=_asymptotic,
        without_chance=_asymptotic,
        key_of=_undisclosed_signal,
    ),
)
PROOFS: Final[Mapping[str, Proof]] = {proof.name: proof for proof in _ALL}
"""Name -> proof. The first is the one that keys are made by."""

DEFAULT_PROOF: Final = "hoeffding"
