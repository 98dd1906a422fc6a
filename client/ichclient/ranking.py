"""Accepted stacks -> the best one, and for every other the preference that it lost by.

Preferences are a table, compared in order; the first in which two stacks differ decides between
them. The last two only make the choice the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ichclient.kernels import Character, kernel_character
from ichclient.stacks import Stack

PREFERRED_SPACING_MM = 5.0
# A head is covered by then; a CT angiography from the chest upwards is not better for being longer.
FULL_COVERAGE_MM = 160.0
NEARLY_AS_MUCH = 0.9

Worth: TypeAlias = tuple[float, ...] | str
_CHARACTER_ORDER: dict[Character, int] = {"soft": 0, "unknown": 1, "sharp": 2}


@dataclass(frozen=True)
class Preference:
    """One comparison of stacks: the smaller `worth` (given the stack and its rivals) is better."""

    name: str
    worth: Callable[[Stack, Sequence[Stack]], Worth]
    told: Callable[[Stack], str]


def character(stack: Stack) -> Character:
    """The reconstruction kernel's character of a stack."""
    first = stack.first
    return kernel_character(first.Manufacturer, first.ConvolutionKernel, first.WindowCenter)


def _falls_short(stack: Stack, rivals: Sequence[Stack]) -> Worth:
    def counted(one: Stack) -> float:
        return min(one.coverage_mm, FULL_COVERAGE_MM)

    widest = max(counted(rival) for rival in rivals)
    return (float(counted(stack) < NEARLY_AS_MUCH * widest),)


def _number(stack: Stack) -> float:
    number = stack.first.SeriesNumber
    return float("inf") if number is None else float(number)


PREFERENCES: tuple[Preference, ...] = (
    Preference(
        "kernel",
        lambda stack, _: (_CHARACTER_ORDER[character(stack)],),
        lambda stack: (
            f"a {character(stack)} kernel ({stack.first.ConvolutionKernel or 'not stated'})"
        ),
    ),
    Preference(
        "original",
        lambda stack, _: (float(stack.first.ImageType[:1] != ("ORIGINAL",)),),
        lambda stack: f"ImageType {'/'.join(stack.first.ImageType[:2]) or 'not stated'}",
    ),
    Preference(
        "coverage",
        _falls_short,
        lambda stack: f"{stack.coverage_mm:.0f} mm of coverage",
    ),
    Preference(
        "spacing",
        lambda stack, _: (round(abs(stack.slice_spacing_mm - PREFERRED_SPACING_MM), 2),),
        lambda stack: f"slices every {stack.slice_spacing_mm:.2f} mm",
    ),
    Preference(
        "series_number",
        lambda stack, _: (_number(stack),),
        lambda stack: f"SeriesNumber {stack.first.SeriesNumber}",
    ),
    Preference(
        "uid",
        lambda stack, _: stack.first.SeriesInstanceUID,
        lambda stack: f"SeriesInstanceUID {stack.first.SeriesInstanceUID}",
    ),
    Preference(
        "first_slice",
        lambda stack, _: stack.first.SOPInstanceUID + stack.first.relative_path,
        lambda stack: f"first file {stack.first.relative_path}",
    ),
)


def best_stack(stacks: Sequence[Stack]) -> Stack:
    """The stack that wins by the preferences; there must be at least one."""
    return min(stacks, key=lambda stack: [item.worth(stack, stacks) for item in PREFERENCES])


def outranked_by(stack: Stack, winner: Stack, rivals: Sequence[Stack]) -> Preference:
    """The first preference in which a stack is worth less than the winner."""
    for preference in PREFERENCES:
        if preference.worth(stack, rivals) != preference.worth(winner, rivals):
            return preference
    return PREFERENCES[-1]
