"""What can go wrong between a study on disk and its result, in the order a study meets it.

    ichcore.errors.IchError           1
    +-- IchClientError                1
        +-- BadRules                  2   a rules file that cannot be understood
        +-- BadAccess                 2   certificates, keys or a token that are none
        +-- BadLabels                 2   a table of labels that cannot be judged by
        +-- NothingFound              3   no files, no DICOM, no CT
        +-- RefusedInput              4   CT was found, none of it may be judged
        +-- SourceError              12   a PACS answered, but not with the whole study
        |   +-- SourceUnreachable    12   nobody answers at the PACS's address
        |   +-- NotOffered           12   the PACS has no such service, or takes no such object
        +-- MissingExtra              1   a library of an extra is not installed
        +-- PartialResult             5   a study ended before all its slices were judged
        +-- ServerError               6   a server answered, but not with a result
        |   +-- ServerUnreachable     6   nobody answers at the address
        |   +-- ServerBusy            6   the server's queues are full, and stayed so
        |   +-- ServerRefused         8   the server gave altered or contract-breaking values
        |   +-- AccessRefused        13   client and server do not accept each other
        +-- CannotWrite               7   the output folder cannot be written
        |   +-- ObjectsError          7   no DICOM object can be written of this study here
        +-- DeliveryError            14   a result is written, and not all of it is where it belongs
        +-- EmbeddedServerError       9   the embedded server cannot start here
        |   +-- PortInUse            11   the port that was asked for is taken
        +-- RepositoryError          10   a missing or altered file in the model repository
        +-- AuditBroken              15   the audit log is not what was written
        +-- FlagRefused               2   a flag that a version of Triton lacks, or must not have
        +-- StationError             16   a station's folder cannot be used, or runs already
        +-- NotAsSigned              17   a report that was changed, or that another key signed

The numbers are the exit codes of `ichclient`; `docs/contract.md` publishes them.
"""

from __future__ import annotations

from ichcore.errors import IchError


class IchClientError(IchError):
    """Any failure of the client."""


class NothingFound(IchClientError):
    """There is nothing to judge: no files, no DICOM, or no CT among it."""

    exit_code = 3


class RefusedInput(IchClientError):
    """CT was found, but none of it may be judged, or its pixels cannot be trusted."""

    exit_code = 4

    @property
    def code(self) -> str:
        """The code of the rule that refused, which ends the message in brackets."""
        return str(self).rpartition("[")[2].rstrip("]") if str(self).endswith("]") else "refused"


class BadRules(IchClientError):
    """A rules file, or a code to be allowed, that cannot be understood."""

    exit_code = 2


class BadAccess(IchClientError):
    """Certificates, a key or a token for the server that cannot be used as they are."""

    exit_code = 2


class BadLabels(IchClientError):
    """A table of labelled studies that cannot be understood, or belongs to another acceptance."""

    exit_code = 2


class SourceError(IchClientError):
    """A PACS or archive answered, but did not give the whole study; what it said is named."""

    exit_code = 12


class SourceUnreachable(SourceError):
    """Nobody answers at the address of the PACS, or the answer did not come in time."""


class NotOffered(SourceError):
    """The PACS accepts none of the services or storage classes that were proposed."""


class MissingExtra(IchClientError):
    """A library is absent; the message names the extra that brings it."""


class PartialResult(IchClientError):
    """The study ended before every slice was judged; what is missing is named."""

    exit_code = 5


class ServerError(IchClientError):
    """A server answered, but not with a result."""

    exit_code = 6


class ServerUnreachable(ServerError):
    """Nobody answers at the address, or the answer did not come in time."""


class ServerBusy(ServerError):
    """The server is well, but turned the request away for as long as it was repeated."""


class ServerRefused(ServerError):
    """The server's values cannot be trusted: golden slices differ, or the contract is broken."""

    exit_code = 8


class AccessRefused(ServerError):
    """Client and server do not accept each other: TLS failed, or the token is not the right one."""

    exit_code = 13


class CannotWrite(IchClientError):
    """The output folder cannot be written."""

    exit_code = 7


class ObjectsError(CannotWrite):
    """DICOM objects were asked for, and cannot be written here or of this study."""


class DeliveryError(IchClientError):
    """A result was written, but a PACS has not got it yet, or refused it; each is named."""

    exit_code = 14


class EmbeddedServerError(IchClientError):
    """The embedded Triton server cannot start on this machine as it is."""

    exit_code = 9


class PortInUse(EmbeddedServerError):
    """The port that was asked for is taken by another program."""

    exit_code = 11


class RepositoryError(IchClientError):
    """A file of the model repository is missing or altered."""

    exit_code = 10


class AuditBroken(IchClientError):
    """Lines of the audit log were changed, removed, added or reordered, or its end is missing."""

    exit_code = 15


class NotAsSigned(IchClientError):
    """An acceptance that was changed after it was signed, or that another key signed."""

    exit_code = 17


class FlagRefused(IchClientError):
    """A server's command line that its version of Triton does not have, or that would be unsafe."""

    exit_code = 2


class StationError(IchClientError):
    """The folder of a station cannot be used, or another process runs it."""

    exit_code = 16
