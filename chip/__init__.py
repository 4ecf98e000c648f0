"""The chip description and the instruction set: what model, RTL, board and host share."""

from .description import Chip, DescriptionError, Layer, Phase, presets

__all__ = ["Chip", "DescriptionError", "Layer", "Phase", "presets"]
