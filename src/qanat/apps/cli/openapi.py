"""``qanat openapi``: the machine-readable schema of a door, as every door with default settings serves it."""

from __future__ import annotations

import json

from qanat.ground.errors import BadParameter


def run_openapi(door: str) -> int:
    """Print the schema on standard output; raises BadParameter for a door that has none."""
    from qanat.adapters.etsi014_schema import etsi014_openapi
    from qanat.apps.site import door_limits
    from qanat.key_management.settings import KeyManagerSettings

    if door != "etsi014":
        raise BadParameter(f"no door is called {door!r}", remedy="name etsi014")
    print(json.dumps(etsi014_openapi(door_limits(KeyManagerSettings())), indent=2, sort_keys=True))
    return 0
