"""A run's members and prepared folders -> ensemble.json and what belongs to it, in the run.

The spec is written last: where it is, the rest of a finished run is too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ichcore import EnsembleSpec, spec_to_json
from ichcore.wire import SPEC_FILE
from ichexport.files import written_whole
from ichexport.release import GOLDEN_HU_FILE
from ichtrain.data import Prepared, refuse_leak
from ichtrain.ensemble.cross import Progress
from ichtrain.ensemble.golden import golden_places, hu_of_slice
from ichtrain.ensemble.lineage import index_sha256, record_of_member, refuse_seen_patients
from ichtrain.ensemble.options import EnsembleOptions
from ichtrain.ensemble.outputs import Members
from ichtrain.ensemble.plot import png_from_fitted
from ichtrain.ensemble.spec import FittedEnsemble, spec_from_validation
from ichtrain.ensemble.validation import Validation
from ichtrain.errors import EnsembleError

RECORD_FILE = "ensemble.record.json"
PICTURE_FILE = "ensemble.png"


def fit_ensemble(
    run: Path,
    folders: Sequence[Path],
    options: EnsembleOptions,
    progress: Progress = lambda stage, done, total: None,
    *,
    trained_on: Sequence[Path] = (),
    unchecked: bool = False,
) -> EnsembleSpec:
    """Fit the spec for the members in `run` on one split of prepared folders, and write it.

    Leaves `ensemble.json`, `golden_hu.npy`, `ensemble.record.json` and `ensemble.png`. Raises
    `SplitLeak` where a member may have seen a patient of the split (unless `unchecked`),
    `OneClass` where a class is missing, `EnsembleError` where members and data do not fit.
    """
    if not folders:
        raise EnsembleError("No data were given; name at least one prepared folder.")
    data = [Prepared(folder) for folder in folders]
    if unchecked:
        refuse_leak(pair for folder in data for pair in folder.patients)
    else:
        records = {name: record_of_member(run, name) for name in options.members}
        others = [Prepared(folder) for folder in trained_on]
        refuse_seen_patients(records, data, others, options.split)
    members = Members(run, options)
    validation = members.validation(
        data, options.split, lambda done, total: progress("members", done, total)
    )
    provenance = _provenance(data, validation, options, unchecked=unchecked)
    fitted = spec_from_validation(validation, options, provenance, progress)
    _write(run, data, validation, fitted)
    return fitted.spec


def _provenance(
    data: Sequence[Prepared], validation: Validation, options: EnsembleOptions, *, unchecked: bool
) -> dict[str, str]:
    judged = {one.uid for one in validation.series}
    sites = sorted(
        {folder.record(uid)["site"] for folder in data for uid in folder.uids if uid in judged}
    )
    synthetic = sites == ["phantom"]
    return {
        "data": (
            "synthetic phantoms of this project; no patient data"
            if synthetic
            else f"sites {', '.join(sites)}"
        ),
        "fitted_on": ", ".join(
            f"{options.split} of {folder.folder.name} (index {index_sha256(folder)[:16]})"
            for folder in data
        ),
        "series": f"{len(judged)}, of {len({one.patient for one in validation.series})} patients",
        "members_saw_these_patients": "not checked" if unchecked else "no, by their records",
        "record": RECORD_FILE,
        "software": f"ich-triton {version('ich-triton')}",
    }


def _write(
    run: Path, data: Sequence[Prepared], validation: Validation, fitted: FittedEnsemble
) -> None:
    home = {uid: folder for folder in data for uid in folder.uids}
    subtypes = {one.uid: home[one.uid].series(one.uid).subtypes for one in validation.series}
    golden = np.stack(
        [
            hu_of_slice(home[uid].series(uid), index, validation.grid.slices_per_item)
            for uid, index in golden_places(validation, fitted.spec, subtypes)
        ]
    )
    blob = io.BytesIO()
    np.save(blob, golden)
    written_whole(run / GOLDEN_HU_FILE, blob.getvalue())
    written_whole(run / PICTURE_FILE, png_from_fitted(fitted))
    text = json.dumps(fitted.record, indent=1, sort_keys=True) + "\n"
    written_whole(run / RECORD_FILE, text.encode())
    written_whole(run / SPEC_FILE, spec_to_json(fitted.spec).encode())
