"""Real boards: pins, clocks and memories of tops without logic of their own."""
