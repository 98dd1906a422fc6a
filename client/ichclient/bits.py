"""Rules about the bits of stored values: unused ones, signs, and 12-bit values that wrapped round.

Each function gives the middle of a sentence where its rule holds and nothing where not; the table
in `intensities.py` says what is done then.
"""

from __future__ import annotations

import numpy as np

from ichclient.dicom import has_overlay_in_pixels
from ichclient.plane import Plane

# Rescaled by an intercept above this, air would need a negative stored value.
_NEEDS_NEGATIVES = -100.0
_WRAP = 4096
_WRAPPED_AIR = 3000
_NEITHER = 2200  # wrapped: below air; unwrapped: metal. Few pixels are either.
_MANY = 0.05
_FEW = 0.01


def _outside_bits(plane: Plane) -> float:
    """The share of pixels whose value needs more bits than BitsStored."""
    header, stored = plane.header, plane.stored
    bits, room = header.BitsStored, stored.dtype.itemsize * 8
    if bits is None or not 0 < bits < room or stored.dtype.kind == "f":
        return 0.0
    low, high = (-(1 << bits - 1), 1 << bits - 1) if stored.dtype.kind == "i" else (0, 1 << bits)
    if stored.min() >= low and stored.max() < high:
        return 0.0
    return float(((stored < low) | (stored >= high)).mean())


def overlay_bits(plane: Plane) -> str:
    """An overlay where unused bits should be, as old scanners kept it."""
    if not (_outside_bits(plane) and has_overlay_in_pixels(plane.header)):
        return ""
    return "an overlay is kept in unused bits of its pixels; those bits were taken away"


def sign_not_extended(plane: Plane) -> str:
    """Air must be negative, and a large share of the values only is if their sign is extended."""
    bits, share = plane.header.BitsStored or 0, _outside_bits(plane)
    within = plane.stored.dtype.kind == "i" and share and plane.stored.min() >= 0
    if not (within and plane.stored.max() < 1 << bits):
        return ""
    if plane.intercept <= _NEEDS_NEGATIVES or share < _MANY:
        return ""
    return f"the sign of its {bits}-bit values was not extended; it was restored"


def only_stored_bits(plane: Plane) -> None:
    """Drop the bits above BitsStored, and extend the sign."""
    shift = plane.stored.dtype.itemsize * 8 - (plane.header.BitsStored or 0)
    plane.stored = np.right_shift(np.left_shift(plane.stored, shift), shift)


def wrong_bits_stored(plane: Plane) -> str:
    """A few values above BitsStored: metal, more likely than another layout."""
    share = _outside_bits(plane)
    if not share:
        return ""
    more = f"{share:.2%} of its values need more bits than BitsStored {plane.header.BitsStored}"
    return f"{more}; they were taken as they are" if share < _FEW else ""


def unknown_bits(plane: Plane) -> str:
    """Many values above BitsStored, and nothing that says why."""
    share = _outside_bits(plane)
    if share < _FEW:
        return ""
    bits = plane.header.BitsStored
    return f"{share:.0%} of its values need more bits than BitsStored {bits}; export it again"


def _may_be_wrapped(plane: Plane) -> bool:
    header = plane.header
    return (
        header.BitsStored == 12
        and plane.stored.dtype.kind == "u"
        and plane.slope == 1
        and plane.intercept > _NEEDS_NEGATIVES
        and int(plane.stored.max()) >= _WRAPPED_AIR
        and int(plane.stored.max()) < _WRAP
    )


def _wrapped_padding(plane: Plane) -> int | None:
    """The one value of all corners, where it is neither air nor tissue whichever way it is read."""
    corners = plane.stored[[0, 0, -1, -1], [0, -1, 0, -1]]
    value = int(corners[0])
    outside = _WRAP // 2 <= value < _WRAPPED_AIR
    return value if outside and bool((corners == value).all()) else None


def unsigned_wrap_fixed(plane: Plane) -> str:
    """Air at the top of the range and nothing between it and tissue: certainly wrapped."""
    if not _may_be_wrapped(plane):
        return ""
    stored, padding = plane.stored, _wrapped_padding(plane)
    air = float((stored >= _WRAPPED_AIR).mean())
    between = (stored >= _NEITHER) & (stored < _WRAPPED_AIR)
    if padding is not None:
        between &= stored != padding
    if air < _MANY or float(between.mean()) > _FEW:
        return ""
    return (
        f"its unsigned 12-bit values wrapped round ({air:.0%} of them are {_WRAPPED_AIR} or more, "
        "which is air); they were unwrapped"
    )


def unwrap(plane: Plane) -> None:
    """The public RSNA collection's quirk: stored = HU modulo 4096, so add 1000, wrap, subtract."""
    padding = _wrapped_padding(plane)
    if padding is not None:
        plane.padded = plane.stored == padding
    wrapped = (plane.stored.astype(np.int32) + 1000) % _WRAP
    plane.stored = wrapped.astype(np.int16)
    plane.intercept = -1000.0


def unsigned_wrap(plane: Plane) -> str:
    """The same header, but a histogram that proves nothing."""
    if not _may_be_wrapped(plane):
        return ""
    return (
        "its unsigned 12-bit values reach 3000 and more without an intercept, so they may have "
        "wrapped round, and cannot be told from metal; export it again"
    )
