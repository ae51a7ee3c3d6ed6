"""The twin of a satellite's link to a station: as that of a fibre, but that there is light in passes alone.

A pass makes one amplification block, of as many bits as its light is sure to fill, in a worker: every click drawn, the
loss new every second, sifted and distilled by two parties that share nothing but a wire. Waiting for the pass is not
done here, nor is the time of its light waited out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qanat.ground.errors import QuantumLayerError
from qanat.ground.identifiers import OrderId
from qanat.ground.network import Link
from qanat.ground.orders import Contact, LinkCapability, LinkQuality
from qanat.ground.ports import Job
from qanat.quantum_layer.block_job import LinkRun
from qanat.quantum_layer.block_worker import distil_link
from qanat.quantum_layer.pass_plan import PassLight, PassPlan
from qanat.quantum_layer.reports import BlockReport, FaultReport
from qanat.quantum_layer.twin import Fault, TwinLink

BELOW_HORIZON = Fault("the satellite is below the horizon", "wait for its next pass; the timetable says when")


class PassLink(TwinLink):
    """Both modules of a downlink. ``begin`` and ``end`` are called by whoever keeps the timetable."""

    def __init__(self, link: Link, *, expected: Callable[[], LinkCapability], **parts: Any) -> None:
        """``expected``: what the link gives in the mean. ``parts``: as of a ``TwinLink``."""
        super().__init__(link, **parts)
        self._expected = expected
        self._now: PassPlan | None = None

    def capability(self) -> LinkCapability:
        """Return what the link gives in the mean over its passes."""
        return self._expected()

    @property
    def now(self) -> PassPlan | None:
        """The pass that is under way."""
        return self._now

    def has_made(self, plan: PassPlan) -> bool:
        """Return whether a pass has made what it could, and both key managers have taken it."""
        return OrderId(plan.pass_id) in self._ended and not any(module.holds_blocks for module in self.modules.values())

    def begin(self, plan: PassPlan) -> None:
        """The telescopes see each other: tell both ends. Again while it lasts: one may have come up meanwhile."""
        if self._now not in (None, plan):
            raise QuantumLayerError(f"{self.link.name}: a pass begins before the last one has ended")
        self._now = plan
        self.tell_both(Contact(self.link.link_id, plan.pass_id, is_open=True))

    def end(self) -> None:
        """The satellite has set."""
        if self._now is not None:
            self.tell_both(Contact(self.link.link_id, self._now.pass_id, is_open=False))
            self._now = None

    def _fault_of_light(self) -> Fault | None:
        if self._now is None:
            return BELOW_HORIZON
        if not self._now.block_bits:
            return Fault(
                f"this pass is expected to give {self._now.sifted_bits:,.0f} sifted bits, too few for a block",
                "wait for a higher pass",
            )
        return None

    def _job(self, run: LinkRun) -> Job[bytes]:
        plan = self._now
        assert plan is not None, "asked before"
        light = PassLight(plan.system, plan.losses_db, plan.step_s)
        return Job(distil_link, (replace(run, min_key_bits=plan.block_bits, light=light),))

    def _deliver(self, report: LinkQuality | BlockReport | FaultReport, fault: Fault | None) -> Fault | None:
        if isinstance(report, LinkQuality) and report.progress >= 1 and (plan := self._now) is not None:
            report = replace(report, details={**report.details, **_told(plan)})
        return super()._deliver(report, fault)


def _told(plan: PassPlan) -> dict[str, float]:
    """Return what a block's figures say of its pass."""
    return {
        "pass.rise_utc_s": plan.rise_utc_s,
        "pass.set_utc_s": plan.set_utc_s,
        "pass.max_elevation_deg": plan.max_elevation_deg,
        "pass.min_range_km": plan.min_range_km,
        "pass.least_loss_db": plan.total_loss_db[0],
        "pass.greatest_loss_db": plan.total_loss_db[1],
        "pass.light_s": plan.step_s * len(plan.losses_db),
        "pass.light_share": plan.light_share,
        "pass.expected_sifted_bits": plan.sifted_bits,
        "pass.expected_qber": plan.qber,
        "pass.expected_secret_bits": float(plan.expected_bits),
    }
