"""The whole chip: instruction decoder, core and link put together."""
