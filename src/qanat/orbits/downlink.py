"""The budget of a downlink: for every moment of a pass, what takes how much of the light, in decibels.

    geometry     the beam is wider than the aperture        } the link: what ``LinkModel`` takes for its loss
    pointing     the beam's middle is not on the aperture   }
    atmosphere   clear air, by the description that rules   }
    turbulence   blur beyond the field of view              }
    constant     a fitted rest that nothing here explains   }
    optics       telescope and basis analyser               ] the receiver: part of the system's record
    coupling     into the collection system                 ]
    filter       at its peak                                ]
    detector     photons that make no click that counts     ]

The total is their sum. Each can be replaced by a measured column. What a measured column says of the receiver acts
behind the sky: optics, filter and detector dim its light like the signal (``sky_share``). Not so the coupling, as in
the record of a telescope: what it lets in of the sky is the field of view's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import ConfigurationError, RequestError
from qanat.orbits.track import Track
from qanat.orbits.tracking import Tracking, TrackingCamera, follow
from qanat.physics.atmosphere import Air
from qanat.physics.free_space import captured_share, share_db
from qanat.physics.system_record import QKDSystem
from qanat.physics.telescope import GroundTelescope, SpaceTelescope

Floats = NDArray[np.float64]

LINK_TERMS: Final = ("geometry", "pointing", "atmosphere", "turbulence", "constant")
RECEIVER_TERMS: Final = ("optics", "coupling", "filter", "detector")
BEHIND_SKY: Final = ("optics", "filter", "detector")
TERMS: Final = (*LINK_TERMS, *RECEIVER_TERMS)
MEASURED_ORIGIN: Final = "input: a measured column"


FITTED_AT: Final = " over Nanshan, 2,080 m high, taken for every station"
"""Where the fitted air was fitted: neither description knows how much air a station's height leaves below it."""


@dataclass(frozen=True, slots=True)
class Downlink:
    """What light passes on its way down. constant_db: a rest that nothing else explains,
    from ``constant_origin``. camera: None where pointing never fails."""

    sender: SpaceTelescope
    ground: GroundTelescope
    air: Air = field(default_factory=Air)
    constant_db: float = 0.0
    constant_origin: str = "fitted"
    camera: TrackingCamera | None = field(default_factory=TrackingCamera)

    def __post_init__(self) -> None:
        if not np.isfinite(self.constant_db):
            raise ConfigurationError(f"a constant of {self.constant_db} dB is none", remedy="give a finite number")


@dataclass(frozen=True, slots=True)
class LinkBudget:
    """The budget of one pass; every array has the shape (n,), an entry per moment of the track.

    terms_db: the terms by name, in the order of ``TERMS``. total_db: their sum. air_db: both descriptions of the air,
    whichever rules. tracking: what the camera did; None without one. origins: what each term is and where it is from.
    sky_share: what measured receivers leave of the light of the sky, over the record's; 1 where nothing was measured.
    """

    track: Track
    downlink: Downlink
    terms_db: Mapping[str, Floats]
    total_db: Floats
    air_db: Mapping[str, Floats]
    tracking: Tracking | None
    origins: Mapping[str, str]
    sky_share: Floats

    def check_sky(self, what: str) -> None:
        """Raise RequestError where a measured receiver changes the light of the sky, which ``what`` leaves out."""
        if np.any(self.sky_share != 1):
            raise RequestError(
                f"{what} takes the light of the sky from the receiver's record, and measured columns change it",
                remedy=f"leave out the columns of the receiver: {', '.join(f'{name}_db' for name in BEHIND_SKY)}",
            )

    @property
    def is_tracked(self) -> NDArray[np.bool_]:
        """Whether the telescopes see each other; bool, shape (n,)."""
        return np.ones(len(self.track), dtype=np.bool_) if self.tracking is None else self.tracking.is_tracked

    def link_loss_db(self, system: QKDSystem) -> Floats:
        """Loss without what the system's receiver takes (dB); raises ConfigurationError where none is left."""
        inside = system.receiver.loss_db + detector_loss_db(system)
        loss_db = self.total_db - inside
        if np.any(loss_db < 0):
            raise ConfigurationError(
                f"a total loss of {self.total_db.min():.2f} dB is less than the receiver's own {inside:.2f} dB",
                remedy="measured columns are losses in dB, 0 or more; look for one that is too small",
            )
        return loss_db


def link_budget(
    track: Track, downlink: Downlink, system: QKDSystem, *, measured: Mapping[str, Floats] | None = None
) -> LinkBudget:
    """Return the budget of a pass.

    measured: a term's name -> its losses (dB), shape (n,), in place of the model's. Raises RequestError on a track that
    goes below the horizon, on names that are no terms, and on columns of another length or with losses that are none.
    """
    measured = measured or {}
    _check(track, measured)
    elevation_deg = track.elevation_deg
    air, ground = downlink.air, downlink.ground
    modelled = _modelled(track, downlink, system)
    terms_db = modelled | {name: np.asarray(column) for name, column in measured.items()}
    more_db = sum((terms_db[name] - modelled[name] for name in BEHIND_SKY), np.zeros(len(track)))
    seen = None
    if downlink.camera is not None:
        seen = follow(downlink.camera, range_km=track.range_km, air_loss_db=terms_db["atmosphere"])
    return LinkBudget(
        track=track,
        downlink=downlink,
        terms_db=terms_db,
        total_db=np.sum([terms_db[name] for name in TERMS], axis=0),
        air_db={"table": air.table_loss_db(elevation_deg), "fitted": air.fitted_loss_db(elevation_deg)},
        tracking=seen,
        origins=_origins(downlink, system, ground) | dict.fromkeys(measured, MEASURED_ORIGIN),
        sky_share=np.asarray(10 ** (-more_db / 10)),
    )


def detector_loss_db(system: QKDSystem) -> float:
    """Loss of photons that reach a detector and make no click that counts (dB), the mean of the four."""
    return float(share_db(float(np.mean(system.counted_efficiencies))))


def _modelled(track: Track, downlink: Downlink, system: QKDSystem) -> dict[str, Floats]:
    sender, ground, air = downlink.sender, downlink.ground, downlink.air
    captured = captured_share(
        track.range_km, divergence_urad=sender.divergence_urad, diameter_m=ground.diameter_m, shape=sender.shape
    )
    blurred = np.zeros(len(track))
    if air.turbulence is not None:
        blurred = air.turbulence.loss_db(track.elevation_deg, field_of_view_urad=ground.field_of_view_urad)

    def everywhere(loss_db: float | Floats) -> Floats:
        return np.full(len(track), float(loss_db))

    return {
        "geometry": share_db(captured),
        "pointing": everywhere(share_db(sender.pointing_efficiency)),
        "atmosphere": air.loss_db(track.elevation_deg),
        "turbulence": blurred,
        "constant": everywhere(downlink.constant_db),
        "optics": everywhere(share_db(ground.optics)),
        "coupling": everywhere(share_db(ground.coupling)),
        "filter": everywhere(share_db(ground.filter_share)),
        "detector": everywhere(detector_loss_db(system)),
    }


def _origins(downlink: Downlink, system: QKDSystem, ground: GroundTelescope) -> dict[str, str]:
    air, sender = downlink.air, downlink.sender
    rules = {
        "table": "stated parameter: clear air at 850 nm by a table, down to sea level whatever the station's height; "
        "a fitted term does not count",
        "fitted": f"{air.origin}: {air.fitted_db:.3f} dB per air mass"
        f"{FITTED_AT if air.origin == 'fitted' else ''}; the table of clear air does not count",
    }
    blur = air.turbulence
    return {
        "geometry": f"predicted (model): {sender.shape} beam, {sender.divergence_urad:g} urad, {ground.diameter_m:g} m",
        "pointing": sender.provenance.get("pointing_efficiency", "input: the command"),
        "atmosphere": rules[air.rule],
        "turbulence": "left out" if blur is None else f"stated parameter: a Fried length of {blur.fried_length_m:g} m",
        "constant": "none"
        if downlink.constant_db == 0
        else f"{downlink.constant_origin}: {downlink.constant_db:.3f} dB",
        "optics": ground.provenance.get("optics", "input: the command"),
        "coupling": ground.provenance.get("coupling", "input: the command"),
        "filter": ground.provenance.get("filter_share", "input: the command"),
        "detector": system.origins.get("receiver.detector.efficiency", "stated parameter"),
    }


def _check(track: Track, measured: Mapping[str, Floats]) -> None:
    if not len(track) or track.elevation_deg.min() < 0:
        raise RequestError(
            "this pass has moments with the satellite below the horizon, or none at all",
            remedy="keep the moments with an elevation of 0 degrees or more",
        )
    if not np.all(np.isfinite(track.range_km) & (track.range_km > 0)):
        raise RequestError("this pass has distances that are none", remedy="give kilometres above 0")
    for name, column in measured.items():
        if name not in TERMS:
            raise RequestError(f"{name!r} is no term of a link budget", remedy=f"there are {', '.join(TERMS)}")
        if np.shape(column) != (len(track),) or not np.all(np.isfinite(column)):
            raise RequestError(
                f"the measured column {name!r} does not fit a pass of {len(track)} moments",
                remedy="give one loss in dB for every moment",
            )
        if np.any(np.asarray(column) < 0):
            raise RequestError(
                f"the measured column {name!r} has a loss of {np.min(column):g} dB, a gain",
                remedy="losses are written as dB of 0 or more; turn the sign of an efficiency",
            )
