"""``ohmspike learn``: what ``ohmspike mnist`` does; it learns MNIST if no ``--data`` is named."""

import copy

from .mnist import mnist

__all__ = ["learn"]

learn = copy.copy(mnist)
learn.name = "learn"
