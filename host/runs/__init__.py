"""Runs: their folders, learned chips, energy bills and reports."""
