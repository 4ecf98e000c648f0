"""What both forms of the core share."""
