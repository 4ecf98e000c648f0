"""How a device is found in measured curves: likelihoods, the search, measured steps, doubt, and a study of coverage."""
