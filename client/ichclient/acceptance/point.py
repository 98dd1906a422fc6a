"""An acceptance -> the site's own operating point: in its record, on its page, and in site.toml.

The bundle's spec is not touched, so the server goes on deciding as released. The client that is
given `--rules site.toml` tells the site's decision beside those, and refuses another spec.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

from ichclient.acceptance.figures import figures_at, threshold_for_sensitivity
from ichclient.acceptance.record import (
    ACCEPTANCE_FILE,
    Acceptance,
    SiteThreshold,
    acceptance_bytes,
    acceptance_from_bytes,
)
from ichclient.acceptance.run import write_acceptance
from ichclient.errors import RefusedInput
from ichclient.output import write_files
from ichclient.site import SitePoint

SITE_FILE = "site.toml"
_DIGITS = 1e6


def point_by_threshold(acceptance: Acceptance, threshold: float) -> SiteThreshold:
    """A threshold that was decided on elsewhere."""
    return _point(acceptance, threshold, f"threshold {threshold:g}, given", fitted=False)


def point_by_sensitivity(acceptance: Acceptance, sensitivity: float) -> SiteThreshold:
    """The highest threshold that finds this share of the bleeds; raises RefusedInput."""
    threshold = threshold_for_sensitivity(sensitivity, acceptance.outcomes)
    if threshold is None:
        raise RefusedInput(
            f"No threshold finds {sensitivity:.1%} of these bleeds: refused ones cannot be found, "
            "and there must be bleeds at all. See what was refused in the report."
        )
    # Rounded down, so that the study it was taken from stays positive.
    lower = math.floor(threshold * _DIGITS) / _DIGITS
    how = f"the highest threshold with a sensitivity of at least {sensitivity:g} on these studies"
    return _point(acceptance, lower, how, fitted=True)


def point_by_name(acceptance: Acceptance, name: str) -> SiteThreshold:
    """One of the bundle's own operating points; raises RefusedInput where there is none."""
    for point in acceptance.points:
        if point.name == name:
            return _point(acceptance, point.threshold, f"the bundle's {name}", fitted=False)
    known = ", ".join(point.name for point in acceptance.points)
    raise RefusedInput(f"'{name}' is no operating point of this bundle; it has {known}.")


def acceptance_of(folder: Path) -> Acceptance:
    """The record in a folder; raises NothingFound or RefusedInput."""
    return acceptance_from_bytes(acceptance_bytes(folder), folder / ACCEPTANCE_FILE)


def set_point(folder: Path, acceptance: Acceptance, site: SiteThreshold) -> SitePoint:
    """Write record, page and site.toml with this operating point; a signature has to be new."""
    write_files(folder, {SITE_FILE: None})
    write_acceptance(folder, replace(acceptance, site=site))
    point = SitePoint(
        name="site",
        threshold=site.figures.threshold,
        spec_sha256=acceptance.conditions.bundle.spec_sha256,
        acceptance_sha256=hashlib.sha256(acceptance_bytes(folder)).hexdigest(),
    )
    write_files(folder, {SITE_FILE: _toml(point, site).encode()})
    return point


def _point(acceptance: Acceptance, threshold: float, how: str, *, fitted: bool) -> SiteThreshold:
    return SiteThreshold(how, fitted, figures_at("site", threshold, acceptance.outcomes))


def _toml(point: SitePoint, site: SiteThreshold) -> str:
    return (
        "# Written by `ichclient accept set`. Research demonstration, not a medical device.\n"
        f"# How it was chosen: {site.how}.\n"
        "# Give it with --rules, or copy the table into your own rules file.\n"
        "[operating_point]\n"
        f'name = "{point.name}"\n'
        f"threshold = {point.threshold!r}\n"
        f'spec_sha256 = "{point.spec_sha256}"\n'
        f'acceptance_sha256 = "{point.acceptance_sha256}"\n'
    )
