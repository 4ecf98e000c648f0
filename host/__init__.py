"""What talks to gates: targets, data sets, learning runs, reports, command line."""
