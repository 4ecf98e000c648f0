"""What was answered against what was right: confusion matrix, recall of every class, the wrong ones."""

import numpy as np

__all__ = ["confusion_matrix", "evaluation", "matrix_text"]

WRONG_MAX = 1000
"""Wrongly answered samples that are listed."""

CLASSES_MAX = 100
"""Classes up to which the matrix is kept."""


def confusion_matrix(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """How often samples of each class (row) were given each answer (column): int64 of shape (classes, classes)."""
    flat = np.asarray(labels, np.int64) * classes + np.asarray(answers, np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def evaluation(labels: np.ndarray, answers: np.ndarray, classes: int) -> dict:
    """What the metrics of a run keep of its answers.

    Returns
    -------
    dict
        ``confusion``, a row for every class (None with more than :data:`CLASSES_MAX`); ``recall``, the share of every
        class answered right (None for a class without samples); ``wrong``, up to :data:`WRONG_MAX` of the samples
        answered wrong, as [sample, label, answer].
    """
    classes = max(classes, 1 + int(np.max(answers, initial=0)), 1 + int(np.max(labels, initial=0)))
    matrix = confusion_matrix(labels, answers, classes)
    of_class = matrix.sum(axis=1)
    recall = [float(right / count) if count else None
              for right, count in zip(np.diag(matrix), of_class, strict=True)]
    wrong = np.flatnonzero(np.asarray(labels) != np.asarray(answers))[:WRONG_MAX]
    return {"confusion": matrix.tolist() if classes <= CLASSES_MAX else None, "recall": recall,
            "wrong": [[int(s), int(labels[s]), int(answers[s])] for s in wrong]}


def matrix_text(facts: dict) -> list[str]:
    """The matrix as lines of text, a class a line, for up to 20 classes; else the classes with the lowest recall."""
    recall = facts["recall"]
    if facts["confusion"] is None or len(recall) > 20:
        worst = sorted((value, label) for label, value in enumerate(recall) if value is not None)[:10]
        return ["lowest recall: " + ", ".join(f"class {label} {value:.1%}" for value, label in worst)]
    width = max(5, *(len(str(count)) + 1 for row in facts["confusion"] for count in row))
    lines = ["class" + "".join(f"{label:>{width}}" for label in range(len(recall))) + "   recall"]
    for label, row in enumerate(facts["confusion"]):
        share = "" if recall[label] is None else f"{recall[label]:9.1%}"
        lines.append(f"{label:>5}" + "".join(f"{count or '·':>{width}}" for count in row) + share)
    return lines
