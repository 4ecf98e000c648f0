"""A running chip in the browser."""
