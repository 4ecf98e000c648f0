"""A task that a small chip learns in a moment: bars across, or upright."""

import numpy as np

from ohmspike.chip import Chip, Phase
from ohmspike.host.data.images import Dataset

CHIP = Chip(name="small", plane_height=6, plane_width=6, patch_height=3, patch_width=3, stride=3, neurons=4, winners=2,
            min_spikes=1, theta_step=20.0, classes=2, margin=50,
            schedule=(Phase(teach=True), Phase(learn=False, teach=True)))


def data(seed=0, images=400, test=50, flipped=0.0):
    """Two classes, bars across and upright; test images of their own. A share of the pixels is ``flipped``."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, images).astype(np.uint8)
    pictures = np.zeros((images, 6, 6), np.uint8)
    pictures[labels == 0, 1:3] = 255
    pictures[labels == 1, :, 3:5] = 255
    pictures[rng.random(pictures.shape) < 0.05] = 255
    if flipped:
        wrong = rng.random(pictures.shape) < flipped
        pictures[wrong] = 255 - pictures[wrong]
    return Dataset(pictures[:-test], labels[:-test], pictures[-test:], labels[-test:])
