"""C-FIND: what a node lists at a level, and what its answers mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ichclient.errors import RefusedInput, SourceError, SourceUnreachable
from ichclient.sources.node import not_offered
from ichclient.sources.storage import FIND

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PENDING, _SUCCESS = (0xFF00, 0xFF01), 0x0000


def rows_found(
    association: Any, name: str, timeout_s: float, most: int, level: str, **keys: str
) -> list[dict[str, str]]:
    """What the node `name` lists at a level: the values of `keys`, as texts.

    Raises RefusedInput for more than `most`, SourceUnreachable where the node is silent or breaks
    off, and SourceError where it refuses.
    """
    found: list[dict[str, str]] = []
    status = None
    with _quiet():
        asked = identifier(level, **keys)
        for answer, one in answers_from_node(name, association.send_c_find, asked, FIND):
            status = answer.get("Status")
            if status in _PENDING and one is not None:
                found.append({key: str(one.get(key) or "").strip() for key in keys})
            if len(found) > most:
                raise RefusedInput(
                    f"{name} lists more than {most} of one study. Give one series, or raise "
                    "--max-files. [too_many_files]"
                )
    if status is None:
        raise SourceUnreachable(f"{name} did not answer within {timeout_s:.0f} s, or broke off.")
    if status != _SUCCESS:
        raise status_refused(name, status)
    return found


def answers_from_node(
    name: str, send: Callable[..., Any], keys: Dataset, model: str
) -> Iterator[Any]:
    """The answers to a request; a service that the node does not offer is told."""
    try:
        answers = send(keys, model)
    except ValueError as error:
        raise not_offered(name, model) from error
    except RuntimeError as error:
        raise SourceUnreachable(f"{name} ended the association.") from error
    return iter(answers)


def identifier(level: str, **keys: str) -> Dataset:
    """What is asked for, as a data set."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def status_refused(name: str, status: int) -> SourceError:
    """The error for a final status that is no success."""
    return SourceError(f"{name} refused with DIMSE status 0x{status:04X}.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom from printing values it dislikes: they may identify a patient."""
    from pydicom import config

    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield
