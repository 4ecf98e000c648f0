"""Colours and resolution of all pictures and pages."""

__all__ = ["ACCENT", "DPI", "EMBER", "INK", "NIGHT", "PAPER", "QUIET", "SOFT", "WINNERS"]

INK, SOFT, QUIET, PAPER, ACCENT, NIGHT = "#22252b", "#6b7280", "#cdd2da", "#eef0f3", "#d8344f", "#4b3f72"
EMBER = "#ec6a4c"
WINNERS = (ACCENT, EMBER, "#f59a57", "#f8bd6e", "#f7d894")
DPI = 120
