"""Two users far apart, each with a ground station, and a satellite that sees one station after the other."""

from __future__ import annotations

from qanat.ground.network import Application, Downlink, Link, Network, Site


def satellite_network() -> Network:
    """Users west and east; a fibre from each to his station; nothing else but the satellite joins the stations."""
    places = {"west": 0.0, "west-station": 0.3, "east-station": 30.0, "east": 30.3}
    sites = [
        Site(name=name, kind="relay" if "station" in name else "user", latitude_deg=40.0, longitude_deg=place)
        for name, place in places.items()
    ]
    return Network(
        format="qanat-network/1",
        name="by-satellite",
        sites=(*sites, Site.model_validate({"name": "bird", "kind": "satellite", "elements": "micius"})),
        links=tuple(
            Link(
                name=f"{user}-link",
                transmitter=user,
                receiver=f"{user}-station",
                system="backbone-625",
                loss_db=10,
                length_km=30,
            )
            for user in ("west", "east")
        ),
        downlinks=tuple(Downlink(satellite="bird", station=f"{user}-station") for user in ("west", "east")),
        applications=(
            Application(name="app0", site="west"),
            Application(name="app1", site="east"),
            Application(name="app2", site="west-station"),
        ),
    )
