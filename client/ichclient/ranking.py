"""Accepted stacks -> the best one, and for every other the preference that it lost by.

Preferences are a table, compared in order; the first in which two stacks differ decides between
them. The last two only make the choice the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ichclient.kernels import Character
from ichclient.site import DEFAULT_SITE, Site
from ichclient.stacks import Stack

NEARLY_AS_MUCH = 0.9

Worth: TypeAlias = tuple[float, ...] | str
_CHARACTER_ORDER: dict[Character, int] = {"soft": 0, "unknown": 1, "sharp": 2}


@dataclass(frozen=True)
class Preference:
    """One comparison of stacks: the smaller `worth` (given the stack and its rivals) is better."""

    name: str
    worth: Callable[[Stack, Sequence[Stack], Site], Worth]
    told: Callable[[Stack, Site], str]


def character(stack: Stack, site: Site = DEFAULT_SITE) -> Character:
    """The reconstruction kernel's character of a stack."""
    first = stack.first
    return site.kernel_character(first.Manufacturer, first.ConvolutionKernel, first.WindowCenter)


def _falls_short(stack: Stack, rivals: Sequence[Stack], site: Site) -> Worth:
    # A head is covered by then; an angiography from the chest upwards is no better for its length.
    def counted(one: Stack) -> float:
        return min(one.coverage_mm, site.limits.full_coverage_mm)

    widest = max(counted(rival) for rival in rivals)
    return (float(counted(stack) < NEARLY_AS_MUCH * widest),)


def _one_energy(stack: Stack, site: Site) -> bool:
    return site.words.say("monoenergetic", stack.first.SeriesDescription)


def _number(stack: Stack) -> float:
    number = stack.first.SeriesNumber
    return float("inf") if number is None else float(number)


PREFERENCES: tuple[Preference, ...] = (
    Preference(
        "kernel",
        lambda stack, _, site: (_CHARACTER_ORDER[character(stack, site)],),
        lambda stack, site: (
            f"a {character(stack, site)} kernel ({stack.first.ConvolutionKernel or 'not stated'})"
        ),
    ),
    Preference(
        "original",
        lambda stack, *_: (float(stack.first.ImageType[:1] != ("ORIGINAL",)),),
        lambda stack, _: f"ImageType {'/'.join(stack.first.ImageType[:2]) or 'not stated'}",
    ),
    Preference(
        "energy",
        lambda stack, _, site: (float(_one_energy(stack, site)),),
        lambda stack, site: "one energy" if _one_energy(stack, site) else "the mixed spectrum",
    ),
    Preference(
        "coverage",
        _falls_short,
        lambda stack, _: f"{stack.coverage_mm:.0f} mm of coverage",
    ),
    Preference(
        "spacing",
        lambda stack, _, site: (
            round(abs(stack.slice_spacing_mm - site.limits.preferred_spacing_mm), 2),
        ),
        lambda stack, _: f"slices every {stack.slice_spacing_mm:.2f} mm",
    ),
    Preference(
        "series_number",
        lambda stack, *_: (_number(stack),),
        lambda stack, _: f"SeriesNumber {stack.first.SeriesNumber}",
    ),
    Preference(
        "uid",
        lambda stack, *_: stack.first.SeriesInstanceUID,
        lambda stack, _: f"SeriesInstanceUID {stack.first.SeriesInstanceUID}",
    ),
    Preference(
        "first_slice",
        lambda stack, *_: stack.first.SOPInstanceUID + stack.first.relative_path,
        lambda stack, _: f"first file {stack.first.relative_path}",
    ),
)


def ranked_stacks(stacks: Sequence[Stack], site: Site = DEFAULT_SITE) -> list[Stack]:
    """The stacks by the preferences, the best one first."""
    return sorted(
        stacks, key=lambda stack: [item.worth(stack, stacks, site) for item in PREFERENCES]
    )


def outranked_by(
    stack: Stack, winner: Stack, rivals: Sequence[Stack], site: Site = DEFAULT_SITE
) -> Preference:
    """The first preference in which a stack is worth less than the winner."""
    for preference in PREFERENCES:
        if preference.worth(stack, rivals, site) != preference.worth(winner, rivals, site):
            return preference
    return PREFERENCES[-1]
