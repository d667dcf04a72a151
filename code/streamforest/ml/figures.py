"""Figures of an evaluation."""

from __future__ import annotations

from pathlib import Path

from streamforest.ml.evaluation import Evaluation


def confusion_figure(evaluation: Evaluation, title: str, path: Path) -> None:
    """Write the confusion matrix as a picture: shares of each label's rows as colour, counts as text."""
    # matplotlib takes most of a second to import, and few commands draw
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = evaluation.confusion
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    size = max(4.0, 0.9 * len(evaluation.classes))
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    positions = range(len(evaluation.classes))
    axes.set_xticks(positions, evaluation.classes, rotation=45, ha="right")
    axes.set_yticks(positions, evaluation.classes)
    axes.set(xlabel="predicted", ylabel="labelled", title=title)
    for row in positions:
        for column in positions:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, label="share of the label's rows")
    FigureCanvasAgg(figure).print_png(path)
