"""What can break the contract, and the exit code each cause carries.

IchError                      any failure this project names itself
+-- ContractError             a value that no side may send or accept
    +-- NonFiniteError        NaN or infinity where a number must stand
    +-- NoSlicesError         an empty series: there is nothing to judge
    +-- ProvenanceError       results of different engines or specs met
    +-- SpecError             an ensemble spec that cannot be used
"""

from __future__ import annotations


class IchError(Exception):
    """Any failure that this project names itself; `exit_code` is what a command ends with."""

    exit_code = 1


class ContractError(IchError):
    """A value broke the contract of `docs/contract.md`."""

    exit_code = 8


class NonFiniteError(ContractError):
    """A NaN or an infinity stood where a number must; NaN would compare as negative."""


class NoSlicesError(ContractError):
    """A series without slices was given; an empty series has no score, not a score of zero."""


class ProvenanceError(ContractError):
    """Scores of different engines or ensemble specs met in one study."""


class SpecError(ContractError):
    """An ensemble spec is malformed or names engines other than those present."""
