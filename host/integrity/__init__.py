"""Faults: on the link, in the memories, and how they are found."""
