"""The host: link, targets, data, encoders, learning runs, command line."""

from ohmspike.chip import Chip

from .files import load, save
from .learning import Encoding, classify, learn, train_vote
from .targets import Target, open_target
from .vote import Vote

__all__ = ["Chip", "Encoding", "Target", "Vote", "classify", "learn", "load", "open_target", "save", "train_vote"]
