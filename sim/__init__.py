"""What stands in for gates: exact model, compiled RTL, analog twin."""
