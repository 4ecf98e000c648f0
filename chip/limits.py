"""Constants of the contract that hold for every chip; model, RTL and host take them from here."""

__all__ = ["LISTED_MAX", "READS_MAX", "SILENT", "SPLITMIX_INDEX", "SPLITMIX_SEED", "SPLITMIX_STREAM", "STEP_MAX",
           "TABLE_MAX"]

STEP_MAX = 254
"""Steps one sample may hold (contract 2.3)."""

SILENT = STEP_MAX + 1
"""Stamp of a line that has not spiked in a sample: stamps are steps, 8 bits wide."""

LISTED_MAX = 1023
"""Output spikes of a sample that the read-out of a threshold chip lists, and a label teaches (contract 10.1)."""

READS_MAX = 4095
"""Where the read pulses of a tile saturate, those of a sample and those of a step (contract 3.1a, 8.3)."""

SPLITMIX_SEED, SPLITMIX_STREAM, SPLITMIX_INDEX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Factors of seed, stream and index in the generator of contract 7.1; the last two also mix its bits."""

TABLE_MAX = (1 << 16) - 1
"""The largest entry of a plasticity table (contract 5.4)."""
