"""Where the controller of a network is wired in a process of its own, beside sites that run by themselves."""

from __future__ import annotations

from pathlib import Path

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.process_pool import ProcessPool
from qanat.apps.certificate_watch import CertificateWatch
from qanat.apps.deployment import Deployment, Places
from qanat.apps.event_log import EventLog
from qanat.apps.forecast_watch import FORECASTS_NAME, ForecastWatch
from qanat.apps.opened import Opened
from qanat.apps.routes_elsewhere import tables_found_in
from qanat.apps.shares_elsewhere import solved_in
from qanat.apps.site import SiteParts, key_manager_settings
from qanat.apps.workplace import Workplace
from qanat.control.controller import Controller
from qanat.control.ruling import other_of
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import CONTROLLER, STANDBY, NodeId
from qanat.quantum_layer.twin_switch import TwinSwitch

SOLVER_GRACE_S = 2.0


def require_standby(deployment: Deployment, local: NodeId) -> None:
    """Raise ConfigurationError for a standby that the deployment does not have."""
    if local == STANDBY and not deployment.has_standby:
        raise ConfigurationError(
            "the deployment has no standby, so no site would listen to it",
            remedy="say `standby: {host: ..., port: ...}` in the deployment file of every host",
        )


class ControllerProcess(Opened):
    """The controller: ``async with ControllerProcess(...) as controller``. What it knows, the sites tell it anew."""

    def __init__(
        self,
        deployment: Deployment,
        place: Workplace,
        *,
        log: EventLog,
        local: NodeId = CONTROLLER,
        forecasts: Path | None = None,
    ) -> None:
        """local: the name of the controller, or of the standby. forecasts: a file of what is foretold of links, else
        ``forecasts.json`` in the folder, if it is there; it is followed.

        Raises ConfigurationError for a standby that the deployment does not have."""
        require_standby(deployment, local)
        self.local = local
        self._other = other_of(local) if deployment.has_standby else None
        self.network = deployment.network
        self.place = place
        self.port = 0
        self._forecasts = forecasts or place.folder / FORECASTS_NAME
        super().__init__()
        self._parts = SiteParts(
            self.network,
            place,
            log=log,
            settings=key_manager_settings(self.network),
            stack=self._stack,
            places=Places(place.addresses, deployment.fixed),
        )

    async def _start(self) -> None:
        parts = self._parts
        self.place.check_node_files(self.network, self.local, clock=parts.clock)  # before it leaves folders behind
        parts.hold_site(self.local, remedy="it runs already; stop it first")
        self.place.claim(self.network)
        tasks = await self._stack.enter_async_context(AsyncioTasks())
        solvers = ProcessPool(1)
        self._stack.push_async_callback(solvers.close, grace_s=SOLVER_GRACE_S)
        transport = await parts.open_transport(self.local)
        certificate = CertificateWatch(
            self.place.node_files(self.local), clock=parts.clock, recorder=parts.recorder(self.local)
        )
        tasks.start(certificate.run(), name="own certificate")
        self.port = transport.port
        controller = Controller(
            network=self.network,
            transport=transport,
            clock=parts.clock,
            tasks=tasks,
            entropy=parts.entropy,
            recorder=parts.recorder(self.local),
            other=self._other,
            switches={switch.name: TwinSwitch(switch, clock=parts.clock) for switch in self.network.switches},
            solve=solved_in(solvers),
            find_tables=tables_found_in(solvers, self.network),
        )
        watch = ForecastWatch(
            self._forecasts,
            network=self.network,
            clock=parts.clock,
            recorder=parts.recorder(self.local),
            on_renewed=controller.foretelling.renew,
        )
        watch.begin()
        tasks.start(watch.run(), name="forecasts")
        tasks.start(controller.run(), name="controller")
