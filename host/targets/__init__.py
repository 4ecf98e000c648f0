"""The implementations of a chip, behind one interface."""
