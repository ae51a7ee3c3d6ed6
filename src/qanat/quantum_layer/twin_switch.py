"""The digital twin of an all-pass optical switch: it takes its time, and no light passes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from qanat.ground.errors import SwitchFailed
from qanat.ground.network import Switch, SwitchJoin
from qanat.ground.ports import Clock


class TwinSwitch:
    """A switch of a network file behind the port ``ground.ports.OpticalSwitch``.

    stuck: why it does not turn, asked at each turn; empty when it does. For rehearsals of a fault.
    """

    def __init__(self, switch: Switch, *, clock: Clock, stuck: Callable[[], str] = lambda: "") -> None:
        self.name = switch.name
        self.num_ports = switch.num_ports
        self._reconfiguration_s = switch.reconfiguration_s
        self._clock = clock
        self._stuck = stuck
        self._far_port: dict[int, int] = {}

    def joins(self, one: int, other: int) -> bool:
        """Return whether light passes between two ports now."""
        return self._far_port.get(one) == other

    async def join(self, one: int, other: int, /) -> None:
        """See the port ``ground.ports.OpticalSwitch``."""
        if one == other or not {one, other} <= set(range(1, self.num_ports + 1)):
            raise SwitchFailed(
                f"switch {self.name!r} cannot join ports {one} and {other} of {self.num_ports}",
                remedy="look whether the network file describes the switch as it is",
            )
        if self.joins(one, other):
            return
        for port in (one, other):
            if (far := self._far_port.pop(port, None)) is not None:
                del self._far_port[far]
        if why := self._stuck():
            raise SwitchFailed(
                f"switch {self.name!r} did not come to join ports {one} and {other}: {why}",
                remedy="look at the switch and its power; its other ports go on meanwhile",
            )
        await self._clock.sleep_until(self._clock.monotonic_s() + self._reconfiguration_s)
        self._far_port |= {one: other, other: one}


def light_passes(switches: Mapping[str, TwinSwitch], joins: Iterable[SwitchJoin]) -> bool:
    """Return whether all of these joins stand; true where a link's light passes no switch."""
    return all(switches[join.switch].joins(*join.ports) for join in joins)
