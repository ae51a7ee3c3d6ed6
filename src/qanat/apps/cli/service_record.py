"""What a running ``qanat up`` says of itself, as JSON: on standard output with ``--json``, and in ``service.json``."""

from __future__ import annotations

import json
import os
from pathlib import Path

from qanat.apps.bootstrap import HOST, Service
from qanat.apps.entropy_watch import entropy_record
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application

SERVICE_FILE = "service.json"
"""In the data folder while the network is up: where its doors are, and which of its sites answer."""


class ServiceRecord:
    """Where a running service of the network called ``name`` can be reached, and how it stands."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._name = name
        self._with_door = {NodeId(app.site) for app in service.network.applications}
        self._files = {app.name: service.place.sae_files(app.name) for app in service.network.applications}

    def state(self) -> tuple[object, ...]:
        """Return what of the record can change, cheaply: another state, another record."""
        service = self._service
        apart = tuple((self.answers(node), self.url(node)) for node in service.apart)
        return tuple(service.doors), apart, repr(entropy_record(service.entropy_server))

    def now(self) -> dict[str, object]:
        """Return the record.

        ``open``: the sites that are open; the other doors listen too, and open when they are first called. ``url`` is
        null for the door of a site that runs apart and has not said where its door is. Such a site answers once its
        modules' line stands and, where it has applications, its door is open.
        """
        service, network, place = self._service, self._service.network, self._service.place
        return {
            "network": network.name,
            "pid": os.getpid(),
            "ca": str(place.pki / "ca.pem"),
            "doors": {node: {"url": service.door_url(node), "kme": network.kme(node)} for node in service.door_ports},
            "open": [node for node in network.nodes if node in service.doors],
            "apart": {
                node: {
                    "kme": network.kme(node),
                    "answers": self.answers(node),
                    "url": self.url(node),
                    "command": self.node_command(node),
                }
                for node in service.apart
            },
            "entropy": entropy_record(service.entropy_server),
            "applications": {app.name: self._application(app) for app in network.applications},
        }

    def text(self) -> str:
        """Return the record as JSON, a line for each part and for each door and application of it. (To indent all of it
        takes Python thirty milliseconds where there are a hundred doors, in which nobody is answered.)"""
        return "{" + ",".join(f"\n  {json.dumps(name)}: {_lines(part)}" for name, part in self.now().items()) + "\n}\n"

    def node_command(self, node: NodeId) -> list[str]:
        """Return the command that runs a site apart, beside this service, from whatever folder."""
        service, name = self._service, self._name
        network = str(Path(name).resolve()) if Path(name).exists() else name
        command = ["qanat", "node", network, node, "--data", str(service.place.folder)]
        return [*command, "--port", str(service.door_port(node))] if service.door_port(node) else command

    def url(self, node: NodeId) -> str | None:
        """Return where a site's door is: in this process, or where the site's own process said, or was told to put
        it."""
        service = self._service
        if node in service.door_ports:
            return service.door_url(node)
        host, port = service.place.addresses.find("doors", node) or (HOST, service.door_port(node))
        return f"https://{host}:{port}" if port and node in self._with_door else None

    def answers(self, node: NodeId) -> bool:
        """Return whether a site that runs apart serves: its line to the modules stands before its door opens."""
        service = self._service
        door_is_open = node not in self._with_door or service.place.addresses.find("doors", node) is not None
        return service.module_desks[node].is_connected and door_is_open

    def _application(self, app: Application) -> dict[str, object]:
        files = self._files[app.name]
        return {
            "sae": self._service.network.sae(app.name),
            "url": self.url(NodeId(app.site)),
            "certificate": str(files.certificate),
            "key": str(files.key),
        }


def _lines(part: object) -> str:
    """Return a part of the record as JSON; one that holds objects has a line for each."""
    if not isinstance(part, dict) or not all(isinstance(entry, dict) for entry in part.values()) or not part:
        return json.dumps(part)
    return "{" + ",".join(f"\n    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in part.items()) + "\n  }"
