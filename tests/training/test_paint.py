"""Painted bleeds have the wanted volume, lie inside the skull, and leave the rest as it was."""

from __future__ import annotations

import numpy as np
import pytest

from ichtrain.errors import DataError
from ichtrain.paint import Head, head_from_hu, painted

SUBTYPES = ("sdh", "sah", "edh", "iph", "ivh")


@pytest.fixture(scope="module")
def head() -> Head:
    """A bone ring round brain with fluid in its middle and under the bone, 12 slices of 5 mm."""
    y, x = np.mgrid[-80:80, -80:80].astype(np.float32)
    radius = np.hypot(x / 0.85, y)
    one = np.full((160, 160), -1000.0, np.float32)
    one[radius < 76] = 1200.0
    one[radius < 70] = 8.0
    one[radius < 64] = 32.0
    one[(np.abs(x) < 14) & (np.abs(y) < 30)] = 8.0
    noise = np.random.default_rng(0).normal(0.0, 2.0, (12, 160, 160)).astype(np.float32)
    return head_from_hu(one[None] + noise, 1.0, np.full(12, 5.0, np.float32))


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_bleed_has_its_volume_and_its_density(head: Head, subtype: str) -> None:
    hu, share = painted(head, subtype, 10.0, 65.0, np.random.default_rng(1))
    assert float((share * head.voxel_ml).sum()) == pytest.approx(10.0, rel=0.15)
    assert float(hu[share > 0.95].mean()) == pytest.approx(65.0, abs=6.0)


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_what_is_not_blood_stays_as_it_was(head: Head, subtype: str) -> None:
    hu, share = painted(head, subtype, 10.0, 65.0, np.random.default_rng(1))
    np.testing.assert_array_equal(hu[share == 0], head.hu[share == 0])
    assert not (share[~head.inside] > 0).any()


def test_blood_lies_where_its_subtype_lies(head: Head) -> None:
    def reach(subtype: str) -> float:
        _, share = painted(head, subtype, 10.0, 65.0, np.random.default_rng(2))
        rows, columns = np.nonzero(share.sum(axis=0) > 0.5)
        return float(np.median(np.hypot((columns - 80) / 0.85, rows - 80)))

    assert reach("sdh") > 60
    assert reach("edh") > 55
    assert reach("ivh") < 35


def test_a_volume_without_a_skull_is_refused() -> None:
    with pytest.raises(DataError, match="enclosed by bone"):
        head_from_hu(np.full((4, 64, 64), 30.0, np.float32), 1.0, np.full(4, 5.0, np.float32))


def test_an_unknown_subtype_is_refused_by_name(head: Head) -> None:
    with pytest.raises(DataError, match="tumour"):
        painted(head, "tumour", 10.0, 65.0, np.random.default_rng(0))
