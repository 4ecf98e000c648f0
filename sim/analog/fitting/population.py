"""Several devices: the typical one, and how far devices are apart beyond what each fit is unsure of."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Spread", "pooled"]


@dataclass(frozen=True)
class Spread:
    """A value over devices.

    Parameters
    ----------
    mean, error : float
        Of the typical device, and its standard error.
    apart, apart_error : float
        Standard deviation between devices, and its standard error.
    """

    mean: float
    error: float
    apart: float
    apart_error: float


def pooled(values: npt.ArrayLike, errors: npt.ArrayLike) -> Spread:
    """Random-effects mean and spread (DerSimonian and Laird 1986, doi 10.1016/0197-2456(86)90046-2).

    Parameters
    ----------
    values, errors : float arrays of shape (devices,)
        What each device's fit gave, with its standard errors.
    """
    values, errors = np.asarray(values, float), np.asarray(errors, float)
    count = len(values)
    variance = np.maximum(errors, 1e-3 * max(np.std(values), 1e-9 * np.abs(values).max(), 1e-300)) ** 2
    weight = 1 / variance
    mean = np.average(values, weights=weight)
    excess = np.sum(weight * (values - mean) ** 2) - (count - 1)
    between = max(excess / (weight.sum() - np.sum(weight**2) / weight.sum()), 0.0) if count > 1 else 0.0
    weight = 1 / (variance + between)
    mean, error = np.average(values, weights=weight), 1 / math.sqrt(weight.sum())
    apart = math.sqrt(between)
    # of a variance of count - 1 degrees of freedom, each with its own error
    apart_error = math.sqrt(2 / max(count - 1, 1)) * (between + count / np.sum(1 / variance)) / max(
        2 * apart, math.sqrt(between + count / np.sum(1 / variance)))
    return Spread(float(mean), float(error), apart, float(apart_error))
