"""The exact model in machine code, and the same chip with non-ideal cells."""
