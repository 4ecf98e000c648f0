"""The analog twin: devices, energy and SPICE, what the chip would be in ohms, volts and joules."""
