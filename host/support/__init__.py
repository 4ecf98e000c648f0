"""Errors, console, units, atomic files."""
