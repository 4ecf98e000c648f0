"""The chip's end of the link (docs/link.md)."""
