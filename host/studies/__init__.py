"""Studies over many runs: accuracy, robustness, search, benchmarks."""
