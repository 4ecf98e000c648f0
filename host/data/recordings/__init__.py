"""Recordings of event cameras, in the formats of their makers and of published sets."""
