"""Text from files and servers -> text that can only be read: nothing in it acts on its reader."""

from __future__ import annotations


def printable(text: object) -> str:
    """The text with everything that a terminal or page would act on, but line ends, replaced.

    Control characters, escapes, and the marks that turn the direction of writing become "?".
    """
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in str(text))
