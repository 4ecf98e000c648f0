"""How long cells last: pulses of every cell against endurance, and what drift takes in the meantime. A model."""

import math

import numpy as np
import scipy  # its parts are loaded when they are first used

from .device import Device

__all__ = ["AGES", "WORN", "decades", "endured_pulses", "expected_worn", "images_until", "pulse_facts",
           "wear_text"]

AGES = {"an hour": 3600.0, "a day": 86_400.0, "a year": 31_557_600.0}
"""Ages by name, s."""

WORN = {"1 cell": 0.0, "0.1 %": 1e-3, "1 %": 1e-2}
"""Shares of the cells whose wear is told; 0 is one cell."""

_SHAPE = 2.0
_FOREVER = 1e30


def endured_pulses(device: Device) -> float:
    """Pulses after which half of the cells have failed; a full cycle is the pulses from rail to rail and back."""
    return device.endurance_cycles * (device.set_pulses + device.reset_pulses)


def expected_worn(pulses: np.ndarray, device: Device) -> float:
    """Share of cells expected to have failed: mean of ``1 − 2^−(p / half)²``, Weibull of shape 2.

    Parameters
    ----------
    pulses : array
        Pulses of every cell.
    """
    return float(np.mean(-np.expm1(-math.log(2) * (np.asarray(pulses, float) / endured_pulses(device)) ** _SHAPE)))


def images_until(pulses: np.ndarray, images: float, device: Device, share: float) -> float:
    """Images after which a share of the cells is expected to have failed, if they wear on as they did.

    Infinite where so many cells do not wear.

    Parameters
    ----------
    pulses : array
        Pulses of every cell in ``images`` images.
    share : float
        Share of the cells; 0 is one cell.
    """
    values, cells = np.unique(np.asarray(pulses).ravel(), return_counts=True)
    total = cells.sum()
    if not images or not values.any():
        return math.inf
    wanted = max(share, 1 / total)
    exponents = math.log(2) * (values / images / endured_pulses(device)) ** _SHAPE
    most = cells[values > 0].sum() / total
    if wanted >= most:
        return math.inf

    def miss(log_images):
        return float((cells * -np.expm1(-exponents * math.exp(_SHAPE * log_images))).sum() / total - wanted)

    return math.exp(scipy.optimize.brentq(miss, -20.0, math.log(_FOREVER), xtol=1e-9))


def pulse_facts(pulses: np.ndarray, images: float, device: Device) -> dict:
    """Pulses of cells: mean, maximum, histogram by powers of two, share worn, images until shares are.

    Shares are those of :data:`WORN`, None is never. The histogram has cells of no pulse first, then those of 2^k to
    2^(k+1) − 1.
    """
    flat = np.asarray(pulses).ravel().astype(np.int64)
    until = {name: images_until(flat, images, device, share) for name, share in WORN.items()}
    octaves = np.bincount(np.where(flat > 0, np.frexp(flat.astype(float))[1], 0))
    return {"mean": float(flat.mean()), "max": int(flat.max()), "histogram": octaves.tolist(),
            "worn": expected_worn(flat, device),
            "images_until": {name: None if math.isinf(images) else images for name, images in until.items()}}


def wear_text(facts: dict) -> str:
    """What :func:`pulse_facts` found, in a line."""
    until = ", ".join(f"{name} {'never' if images is None else f'after {images:.2g} images'}"
                      for name, images in facts["images_until"].items())
    return f"pulses of a cell: mean {facts['mean']:.3g}, most {facts['max']:,}; worn: {until}"


def decades(seconds: float) -> float:
    """Decades of time since a second after the write, from which drift counts."""
    return math.log10(max(seconds, 1.0))
