"""Non-idealities of real cells by name, for options and pictures: without the model that has them."""

__all__ = ["IN_HARDWARE", "NOISE_LAWS", "NONIDEALITIES"]

NONIDEALITIES = {
    "c2c": ("cycle to cycle: deviation of every pulse, share of the range", 0.0, 1.0),
    "write_error": ("deviation of what a write leaves, share of the range; drawn anew at each, it does not add up", 0.0,
                    1.0),
    "d2d_step": ("device to device: log-normal deviation of the update step", 0.0, 2.0),
    "d2d_range": ("device to device: relative deviation of the upper rail", 0.0, 2.0),
    "stuck": ("share of stuck cells, half of them at either rail", 0.0, 1.0),
    "threshold": ("mismatch of the thresholds, in readings of one full cell", 0.0, 1000.0),
    "read_noise": ("deviation of one reading of one cell, share of the range", 0.0, 2.0),
    "supply": ("droop of the supply: a reading is of a voltage lower by up to this share, drawn anew", 0.0, 1.0),
    "line_ohm": ("resistance of the bit line from cell to cell, Ω", 0.0, 1e5),
    "unclamped": ("bit line on the membrane: 16 full cells over the membrane that it never passes", 0.0, 10.0),
    "endurance": ("wear: 1 over the pulses after which 63 % of the cells have failed", 0.0, 1.0),
    "temperature": ("kelvin above 300 K: low levels conduct more (0.075 eV at the lower rail, none at the upper)", 0.0,
                    200.0),
    "warming": ("kelvin by which the chip warms and cools again, in 100,000 samples, from 300 K on", 0.0, 200.0),
}
"""Every non-ideality: meaning, lowest and highest strength. Strength 0 is none."""

NOISE_LAWS = ("pulse", "sqrt_step", "step")
"""How ``c2c`` follows the size of a pulse: not at all, by the root of its step, by its step."""

IN_HARDWARE = ("c2c", "stuck", "threshold")
"""Those of them that the RTL implements (:func:`~ohmspike.sim.model.nonideal.as_hardware`)."""
