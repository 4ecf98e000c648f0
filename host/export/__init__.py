"""The RTL of a chip as a folder that other tools take: text, register map, test bench with vectors."""

from .folder import Exported, export

__all__ = ["Exported", "export"]
