"""Looks after the own certificate of a process while it runs: all others cut it off once that has ended.

What it sees then is that nobody answers; so it says why, before it says anything else of that.
"""

from __future__ import annotations

from qanat.adapters.living_tls import LOOK_PERIOD_S, LivingTls
from qanat.adapters.tls import Credentials
from qanat.ground.errors import ConfigurationError
from qanat.ground.ports import Clock
from qanat.ground.tracing import EventRecorder


class CertificateWatch:
    """Tells the alarm ``certificate-ended`` of one site, or of a controller, and its end."""

    def __init__(self, files: Credentials, *, clock: Clock, recorder: EventRecorder) -> None:
        """Raises ConfigurationError when the files do not load."""
        self._tls = LivingTls(files)
        self._clock = clock
        self._recorder = recorder
        self._fault = self._tls.own_fault()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await self._clock.sleep_until(self._clock.monotonic_s() + LOOK_PERIOD_S)

    def fault(self) -> ConfigurationError | None:
        """Return why the certificate did not count any more at the last look, and what helps; None when it did. Cheap:
        it is asked at each request."""
        return self._fault

    def look(self) -> None:
        """Look at the files and the list of revoked certificates, and tell the alarm or its end."""
        self._tls.look()
        self._fault = self._tls.own_fault()
        if self._fault is None:
            self._recorder.alarm_over("certificate-ended")
        else:
            text = f"{self._fault.message}: no other process of the network speaks with this one"
            self._recorder.alarm("certificate-ended", text, self._fault.remedy)
