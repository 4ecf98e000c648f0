"""Classifiers of software on the same images, as baselines: scikit-learn's, on pixels of 0 to 1."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmspike.host.support.errors import UserError

__all__ = ["CLASSIFIERS", "SGD_CLASSIFIERS", "Classifier", "SgdClassifier", "pixels"]


def pixels(images: np.ndarray) -> np.ndarray:
    """Images as rows of float32 from 0 to 1, of shape (samples, lines)."""
    return np.asarray(images, np.float32).reshape(len(images), -1) / np.float32(255)


def _sklearn(module: str, name: str, **options: Any) -> Any:
    try:
        return getattr(importlib.import_module(f"sklearn.{module}"), name)(**options)
    except ImportError:
        raise UserError("baselines need scikit-learn, which is not installed",
                        hint="pip install 'ohmspike[study]'") from None


def _sklearn_warning() -> type[Warning]:
    return importlib.import_module("sklearn.exceptions").ConvergenceWarning


@dataclass(frozen=True)
class Classifier:
    """How a classifier is made, and how much it is shown.

    Parameters
    ----------
    make : function of a seed
        Gives an object with ``fit`` and ``predict``.
    train_most, test_most : int or None
        So many images at most, from the first on; what is slow is shown fewer.
    """

    make: Callable[[int], Any]
    train_most: int | None = None
    test_most: int | None = None

    def fitted(self, images: np.ndarray, labels: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        """Fit it, and give a function from images to classes: integers of shape (samples,)."""
        model = self.make(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", _sklearn_warning())  # so many passes are asked for, and no more
            model.fit(pixels(images[:self.train_most]), labels[:self.train_most])
        return lambda shown: model.predict(pixels(shown))


CLASSIFIERS = {
    "LR": Classifier(lambda seed: _sklearn("linear_model", "LogisticRegression", max_iter=100, tol=1e-3)),
    "MLP256": Classifier(lambda seed: _sklearn("neural_network", "MLPClassifier", hidden_layer_sizes=(256,),
                                               batch_size=200, max_iter=10, tol=0.0, n_iter_no_change=100,
                                               random_state=seed)),
    "3-NN": Classifier(lambda seed: _sklearn("neighbors", "KNeighborsClassifier", n_neighbors=3, algorithm="brute"),
                       10_000, 1000),
    "SVM-RBF": Classifier(lambda seed: _sklearn("svm", "SVC", C=5.0, gamma="scale"), 10_000, 1000),
}
"""Baselines of the table of corruptions, by their names there."""


class SgdClassifier:
    """A classifier that learns by stochastic gradient descent and can be taught on.

    Parameters
    ----------
    name : str
        A key of :data:`SGD_CLASSIFIERS`.
    classes : int
        Classes there will ever be, those of later stages included.
    seed : int
    epochs : int
        Passes over what :meth:`teach` is given.
    """

    def __init__(self, name: str, classes: int, seed: int, epochs: int = 5):
        self._model, self._classes, self._epochs = SGD_CLASSIFIERS[name](seed), np.arange(classes), epochs
        self._rng = np.random.default_rng(seed)

    def teach(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Learn images and their labels, on from what is known, in batches of 100 in random order."""
        shown = pixels(images)
        for _ in range(self._epochs):
            order = self._rng.permutation(len(shown))
            for first in range(0, len(order), 100):
                batch = order[first:first + 100]
                self._model.partial_fit(shown[batch], labels[batch], classes=self._classes)

    def answers(self, images: np.ndarray) -> np.ndarray:
        """The class of every image: integers of shape (samples,)."""
        return self._model.predict(pixels(images))


def _by_gradient(hidden, seed):
    """Softmax regression, or a perceptron with hidden layers, by SGD with momentum."""
    return _sklearn("neural_network", "MLPClassifier", hidden_layer_sizes=hidden, solver="sgd",
                    learning_rate_init=0.05, momentum=0.9, random_state=seed)


SGD_CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "logistic regression": lambda seed: _by_gradient((), seed),
    "MLP256": lambda seed: _by_gradient((256,), seed),
}
"""Baselines that are taught in stages, by their names in the table."""
