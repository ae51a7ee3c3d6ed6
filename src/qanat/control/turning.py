"""The network's optical switches as the controller drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qanat.control.books import Books, DemandBook
from qanat.ground.errors import SwitchFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import EventId, LinkId, NodeId
from qanat.ground.network import Network, SwitchJoin
from qanat.ground.ports import OpticalSwitch
from qanat.ground.tracing import EventRecorder


class Switchboard:
    """Turns switches to links, and knows whom it must have heard before it may."""

    def __init__(self, network: Network, switches: Mapping[str, OpticalSwitch], recorder: EventRecorder) -> None:
        """``switches``: what drives each switch, by its name."""
        self._network = network
        self._recorder = recorder
        self._switches = switches
        self._on_ports = {NodeId(port.site) for switch in network.switches for port in switch.ports}
        self._unheard = self._on_ports.copy()

    def all_have_announced(self, node: NodeId) -> bool:
        """Take note that a node has said what it does, and return whether all have that are on ports of switches."""
        self._unheard.discard(node)
        return not self._unheard

    def forget(self, books: Books) -> None:
        """Somebody else may have turned the switches: nothing is known of how they stand."""
        self._unheard = self._on_ports.copy()
        books.turns.forget()

    async def turn(self, link_id: LinkId) -> list[str]:
        """Turn the switches on a link's way, one after the other; return what each joins now, in words.

        Raises SwitchFailed, with an alarm.
        """
        try:
            turned = [await self._join(join) for join in self._network.joins_of(self._network.link(link_id))]
        except SwitchFailed as fault:
            self._recorder.alarm("switch-failed", fault.message, fault.remedy, about=link_id, link_id=link_id)
            raise
        self._recorder.alarm_over("switch-failed", link_id)
        return turned

    def record_turn(self, link_id: LinkId, turned: Sequence[str], demands: Sequence[DemandBook]) -> EventId:
        """Record that light passes along a link, for the first of the demands that wait for it; return the event."""
        first = next(iter(demands), None)
        event = self._recorder.record(
            EventKind.SWITCH_TURNED,
            cause=None if first is None else first.ordered or first.found,
            request_id=None if first is None else first.word.request_id,
            link_id=link_id,
            switches=list(turned),
        )
        return event.id

    async def _join(self, join: SwitchJoin) -> str:
        driver = self._switches.get(join.switch)
        if driver is None:
            raise SwitchFailed(
                f"nothing here drives switch {join.switch!r}", remedy="give the controller a driver for it"
            )
        await driver.join(*join.ports)
        return f"{join.switch}: {join.ports[0]} with {join.ports[1]}"
