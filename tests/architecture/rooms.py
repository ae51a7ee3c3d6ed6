"""The house as data: which room may import which, and which library each room may use."""

from __future__ import annotations

LEFT = ("kernels", "physics", "protocols", "orbits", "postprocessing", "quantum_layer")
RIGHT = ("key_management", "control", "doors", "services")


def _lower(tower: tuple[str, ...]) -> dict[str, frozenset[str]]:
    return {room: frozenset({"ground", *tower[:place]}) for place, room in enumerate(tower)}


ROOMS: dict[str, frozenset[str]] = {
    "ground": frozenset(),
    **_lower(LEFT),
    **_lower(RIGHT),
    "services": frozenset({"ground"}),
    "adapters": frozenset({"ground", "doors"}),
    "attacks": frozenset({"ground", *LEFT, "control"}),
    "planning": frozenset({"ground", *LEFT, "control"}),
    "simulation": frozenset({"ground", *LEFT, *RIGHT, "attacks"}),
    "client": frozenset({"ground", "doors", "adapters"}),
    "users": frozenset({"ground", "doors", "services", "adapters", "client"}),
    "networks": frozenset(),
}
ROOMS["api"] = frozenset({*ROOMS, "client"})
ROOMS["benchmarks"] = ROOMS["reproductions"] = frozenset({*ROOMS, "api"})
ROOMS["apps"] = frozenset({*ROOMS, "benchmarks", "reproductions"})
"""Room -> the other rooms it may import from. Within itself a room imports freely (without cycles)."""

NUMERIC_ROOMS = frozenset(
    {*LEFT, "attacks", "planning", "simulation", "control.solvers", "benchmarks", "reproductions"}
)
MACHINE_ROOMS = frozenset({"adapters", "apps", "benchmarks", "reproductions"})
TEXT_ROOMS = frozenset({"ground.network", "control", "planning", "apps"})
SCHEMA_ROOMS = frozenset({"doors", "adapters", "ground.network", "apps"})

LIBRARIES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("numpy", "scipy", "highspy", "numba", "llvmlite"), NUMERIC_ROOMS | {"apps"}),
    **dict.fromkeys(("pydantic", "pydantic_core"), SCHEMA_ROOMS),
    "yaml": TEXT_ROOMS,
    "networkx": TEXT_ROOMS | {"benchmarks"},  # what ours is measured against
    **dict.fromkeys(
        (
            *("asyncio", "concurrent", "threading", "multiprocessing", "subprocess", "socket", "socketserver", "ssl"),
            *("select", "selectors", "signal", "sqlite3", "tempfile", "shutil", "fcntl", "queue"),
            *("fastapi", "starlette", "uvicorn", "httpx", "requests", "urllib", "http"),
        ),
        MACHINE_ROOMS,
    ),
    **dict.fromkeys(("typer", "rich", "jinja2"), frozenset({"apps"})),
    **dict.fromkeys(("time", "secrets", "random", "os", "io", "pathlib"), MACHINE_ROOMS),
    "importlib": MACHINE_ROOMS | {"ground.data", "api"},
    "sgp4": frozenset({"orbits", "benchmarks"}),
    "av": frozenset({"adapters", "benchmarks"}),
    "PIL": frozenset({"adapters", "apps"}),
    "pypdfium2": frozenset({"adapters"}),
    "OpenSSL": frozenset({"adapters"}),
    "pickle": frozenset(),
}
"""Library (first part of the module's name) -> rooms that may import it. `client` may use httpx and ssl too."""
for _name in ("httpx", "ssl", "asyncio", "pathlib"):
    LIBRARIES[_name] |= {"client"}
for _name in ("asyncio", "pathlib"):
    LIBRARIES[_name] |= {"users"}

CLOCK_AND_DICE = frozenset(
    {"time.time", "time.monotonic", "datetime.now", "datetime.utcnow", "os.urandom", "uuid.uuid4", "uuid.uuid1"}
)
"""Calls that are allowed in adapters, apps and benchmarks only."""
