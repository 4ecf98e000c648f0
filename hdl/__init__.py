"""The gateware: what becomes gates."""
