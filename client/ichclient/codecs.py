"""Transfer syntaxes -> which of them are decoded here, by what, and what to install for the rest.

Everything in the default install is free of the GPL: pydicom's `pylibjpeg-libjpeg` is not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_INSTALL_GDCM = "pip install python-gdcm"
_INSTALL_OPENJPEG = "pip install pylibjpeg pylibjpeg-openjpeg"
# Anything else pydicom would warn of, printing it.
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True)
class Syntax:
    """One transfer syntax that CT comes in; `extra` installs its decoder, `lossy` if it can be."""

    name: str
    uid: str
    extra: str = ""
    lossy: bool = False


SYNTAXES = (
    Syntax("Implicit VR Little Endian", "1.2.840.10008.1.2"),
    Syntax("Explicit VR Little Endian", "1.2.840.10008.1.2.1"),
    Syntax("Deflated Explicit VR Little Endian", "1.2.840.10008.1.2.1.99"),
    Syntax("Explicit VR Big Endian", "1.2.840.10008.1.2.2"),
    Syntax("RLE Lossless", "1.2.840.10008.1.2.5"),
    Syntax("JPEG Baseline", "1.2.840.10008.1.2.4.50", "pip install pillow", lossy=True),
    Syntax("JPEG Extended", "1.2.840.10008.1.2.4.51", _INSTALL_GDCM, lossy=True),
    Syntax("JPEG Lossless", "1.2.840.10008.1.2.4.57", _INSTALL_GDCM),
    Syntax("JPEG Lossless, first order", "1.2.840.10008.1.2.4.70", _INSTALL_GDCM),
    Syntax("JPEG-LS Lossless", "1.2.840.10008.1.2.4.80", "pip install pyjpegls"),
    Syntax("JPEG-LS Near-Lossless", "1.2.840.10008.1.2.4.81", "pip install pyjpegls", lossy=True),
    Syntax("JPEG 2000 Lossless", "1.2.840.10008.1.2.4.90", _INSTALL_OPENJPEG),
    Syntax("JPEG 2000", "1.2.840.10008.1.2.4.91", _INSTALL_OPENJPEG, lossy=True),
    Syntax("HTJ2K Lossless", "1.2.840.10008.1.2.4.201", _INSTALL_OPENJPEG),
    Syntax("HTJ2K Lossless RPCL", "1.2.840.10008.1.2.4.202", _INSTALL_OPENJPEG),
    Syntax("HTJ2K", "1.2.840.10008.1.2.4.203", _INSTALL_OPENJPEG, lossy=True),
)
LOSSY_SYNTAXES = {syntax.uid for syntax in SYNTAXES if syntax.lossy}


@dataclass(frozen=True)
class Codec:
    """Whether pixels of one transfer syntax can be decoded here, and what to install if not."""

    name: str
    transfer_syntax_uid: str
    available: bool
    extra: str


def codecs() -> tuple[Codec, ...]:
    """Every transfer syntax that CT comes in, and whether this installation decodes it."""
    return tuple(Codec(one.name, one.uid, is_decoded(one.uid), one.extra) for one in SYNTAXES)


def is_decoded(uid: str) -> bool:
    """Whether this installation decodes a transfer syntax."""
    from pydicom.pixels.decoders.base import get_decoder

    if not _UID.fullmatch(uid):
        return False
    try:
        return bool(get_decoder(uid).is_available)
    except NotImplementedError:
        return False


def missing_codec(uid: str) -> str:
    """Names a transfer syntax that is not decoded here, and what to do about it."""
    from pydicom.uid import UID

    extra = next((one.extra for one in SYNTAXES if one.uid == uid and one.extra), "")
    name = UID(uid).name if _UID.fullmatch(uid) else "absent or no UID"
    advice = f"{extra}, or export it uncompressed" if extra else "export it uncompressed"
    return f"its transfer syntax {name} ({uid or 'none'}) cannot be decoded here: {advice}"
