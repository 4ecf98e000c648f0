"""The host: link, targets, data, encoders, learning runs, studies, command line."""
