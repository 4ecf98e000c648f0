"""Samples into events, output spikes into classes."""
