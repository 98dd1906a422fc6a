"""Epochs -> curves to look at: a table and a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from ichtrain.fit.options import EpochFigures


def csv_from_epochs(epochs: Sequence[EpochFigures]) -> str:
    """One row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(epochs[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(figures) for figures in epochs)
    return text.getvalue()


def png_from_epochs(epochs: Sequence[EpochFigures], title: str, best_epoch: int) -> bytes:
    """Training loss, and the AUCs of validation with the best epoch marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    loss, auc = figure.subplots(1, 2)
    numbers = [figures.epoch for figures in epochs]
    loss.plot(numbers, [figures.train_loss for figures in epochs], marker=".", color="black")
    loss.set(xlabel="epoch", ylabel="training loss", title=title)
    auc.plot(numbers, [figures.study_auc for figures in epochs], marker=".", label="studies")
    if all(figures.slice_auc is not None for figures in epochs):
        auc.plot(numbers, [figures.slice_auc for figures in epochs], marker=".", label="slices")
    auc.axvline(best_epoch, color="grey", linestyle=":", label="best epoch")
    auc.set(xlabel="epoch", ylabel="AUC of validation", title="research demonstration")
    auc.legend()
    for axes in (loss, auc):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    png = io.BytesIO()
    canvas.figure.savefig(png, format="png")
    return png.getvalue()
