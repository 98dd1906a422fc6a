"""Errors of the training room, in the order of its arrows.

ichcore.errors.IchError
└── IchTrainError (1)
    ├── PhantomError (2)
    │   ├── PhantomOptionError (2)   an option that no phantom can have
    │   ├── MissingAtlas (9)         the anatomy that phantoms are made of is not installed
    │   └── OutputFolderError (7)    the place to write is taken or cannot be written
    ├── DataError (4)                labels, masks or series that cannot be trained on
    │   ├── ManifestError (4)        rows of a manifest, or a table it is made of, that are wrong
    │   │   └── SplitLeak (4)        one patient in two splits
    │   ├── OneClass (4)             data without a positive or without a negative
    │   ├── EnsembleError (4)        members or validation data that no ensemble can be fitted on
    │   ├── MaskError (4)            a mask that is missing or does not fit its series
    │   ├── EvaluationError (4)      a bundle and data that do not fit, or a record that is none
    │   ├── ScoresError (4)          truth and scores that no figure can be made of
    │   ├── ReproduceError (4)       a folder that holds a comparison of another budget
    │   └── ReviewError (4)          an evaluation, a pack or answers that cannot be used
    └── FitError (5)                 training that cannot be, or that came to nothing
"""

from __future__ import annotations

from ichcore.errors import IchError

__all__ = [
    "DataError",
    "EnsembleError",
    "EvaluationError",
    "FitError",
    "IchTrainError",
    "ManifestError",
    "MaskError",
    "MissingAtlas",
    "OneClass",
    "OutputFolderError",
    "PhantomError",
    "PhantomOptionError",
    "ReproduceError",
    "ReviewError",
    "ScoresError",
    "SplitLeak",
]


class IchTrainError(IchError):
    """Base of every error that ichtrain raises on purpose; `exit_code` is the CLI's."""


class PhantomError(IchTrainError):
    """A phantom could not be made."""

    exit_code = 2


class PhantomOptionError(PhantomError, ValueError):
    """An option lies outside what a phantom can have."""


class MissingAtlas(PhantomError):
    """The atlas that phantoms are made of is not installed."""

    exit_code = 9


class OutputFolderError(PhantomError):
    """The output folder is not empty or cannot be written."""

    exit_code = 7


class DataError(IchTrainError):
    """Labelled data that cannot be used; the message names the row, the series or the file."""

    exit_code = 4


class ManifestError(DataError):
    """Rows of a manifest, or of a table it is made of, are wrong; rows and columns are named."""


class SplitLeak(ManifestError):
    """One patient stands in two splits, so a test would judge what was trained on."""


class OneClass(DataError):
    """There is no positive or no negative, so nothing can be learnt or measured."""


class EnsembleError(DataError):
    """Members, or what they say of validation data, on which no ensemble can be fitted."""


class MaskError(DataError):
    """A mask is missing, unreadable, or of another size, frame or place than its series."""


class EvaluationError(DataError):
    """What is to be judged and the data do not fit, or a record of an evaluation is unusable."""


class ScoresError(DataError, ValueError):
    """Truth and scores that differ in length, or hold what is no truth or no score."""


class ReproduceError(DataError):
    """A folder holds a comparison of another budget or version; the two are not mixed."""


class ReviewError(DataError):
    """A reading study that cannot be made or scored; the message names the file and the row."""


class FitError(IchTrainError):
    """Training that cannot be as asked, or whose loss is no number."""

    exit_code = 5
