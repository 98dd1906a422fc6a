"""What can go wrong on the way from weights to a repository entry.

ichcore.errors.IchError
+-- IchExportError      1
    +-- MissingExtra    9    a library of an extra is not installed
    +-- ParityError     8    an engine does not say what its weights say
    +-- PrecisionError  8    an engine calculates in another type than was asked for
    +-- UnprovenError   8    an engine may not serve before it has run and agreed
    +-- DriftError     10    a committed file differs from what its spec generates
    +-- CannotRunHere   1    an engine was built, and this machine cannot run it
"""

from __future__ import annotations

from ichcore.errors import IchError


class IchExportError(IchError):
    """Any failure of building."""


class MissingExtra(IchExportError):
    """A library is absent; the message names the extra that brings it."""

    exit_code = 9


class ParityError(IchExportError):
    """An engine's outputs differ from its weights' outputs by more than the tolerance."""

    exit_code = 8


class PrecisionError(IchExportError):
    """An engine's layers calculate in another type than was asked for."""

    exit_code = 8


class UnprovenError(IchExportError):
    """An engine was not run where it was built, and production serves none that was not."""

    exit_code = 8


class DriftError(IchExportError):
    """A committed file differs from what its typed spec generates."""

    exit_code = 10


class CannotRunHere(IchExportError):
    """An engine was built, and this machine lacks what it needs to run."""
