"""The account of a load test finds each kind of fault: an account that cannot object shows nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interop.account import Account, Faults
from qanat.ground.identifiers import KeyID

ONE, TWO = KeyID("00000000-0000-4000-8000-000000000001"), KeyID("00000000-0000-4000-8000-000000000002")


def honest() -> Account:
    account = Account()
    account.master_got("call-1", {ONE: b"one", TWO: b"two"})
    account.slave_got("call-1", {ONE: b"one", TWO: b"two"})
    return account


def told_missing(account: Account) -> None:
    account.master_got("call-2", {KeyID("3"): b"three"})
    account.slave_missed([KeyID("3")], is_in_doubt=False)


def test_an_honest_run_has_no_faults_and_repetitions_are_none() -> None:
    account = honest()
    account.master_got("call-1", {ONE: b"one", TWO: b"two"})
    account.slave_got("call-1", {TWO: b"two", ONE: b"one"})
    account.master_got("call-2", {KeyID("3"): b"three"})
    account.slave_missed([KeyID("3")], is_in_doubt=True)
    account.close()
    assert not account.faults
    assert (len(account.given), len(account.fetched), account.repetitions, len(account.in_doubt)) == (3, 2, 2, 1)


@pytest.mark.parametrize(
    ("happen", "expected"),
    [
        (lambda account: account.master_got("call-2", {ONE: b"one"}), Faults(double_deliveries=1)),
        (lambda account: account.slave_got("call-2", {ONE: b"one", TWO: b"two"}), Faults(double_deliveries=2)),
        (lambda account: account.slave_got("call-2", {KeyID("3"): b"what"}), Faults(mismatches=1)),
        (lambda account: account.master_got("call-1", {ONE: b"one"}), Faults(other_answers=1)),
        (lambda account: account.slave_got("call-1", {ONE: b"one", TWO: b"too"}), Faults(other_answers=1)),
        (lambda account: account.master_got("call-2", {KeyID("3"): b"3"}), Faults(lost_acknowledged_keys=1)),
        (told_missing, Faults(lost_acknowledged_keys=1)),
    ],
)
def test_every_fault_is_counted(happen: Callable[[Account], None], expected: Faults) -> None:
    account = honest()
    happen(account)
    account.close()
    assert account.faults == expected
    assert account.faults
