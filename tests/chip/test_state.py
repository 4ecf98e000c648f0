"""The declared state of a chip."""

from ohmspike.chip import Chip
from ohmspike.chip.state import ChipState


def test_what_a_chip_does_not_have_is_0_from_the_beginning():
    for name in ("tiles", "shared-small", "tiles-accumulate"):
        chip = Chip.preset(name)
        state = ChipState.initial(chip)
        for entry in ChipState.registers():
            assert entry.present(chip) or getattr(state, entry.name) == 0, (name, entry.name)
