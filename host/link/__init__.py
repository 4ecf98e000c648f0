"""The host's end of the link (docs/link.md)."""
