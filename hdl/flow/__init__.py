"""What never becomes gates: emission, synthesis, proofs, tools."""
