"""Measured curves of memristors: from the files that laboratories have to branches of potentiation and depression."""
