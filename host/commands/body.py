"""What a command learns on: a chip, of which device, with which non-idealities."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ohmspike.chip import Chip
from ohmspike.chip.description import NOISE_FRACTION_MAX
from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.device import NOMINAL, Device, DeviceError, chip_with_device
from ohmspike.sim.model.nonidealities import IN_HARDWARE, NONIDEALITIES

from .options import with_nonidealities

if TYPE_CHECKING:
    from ohmspike.host.targets.base import Target
    from ohmspike.sim.model.nonideal import NonIdealities
    from ohmspike.sim.state import ChipState

__all__ = ["Body", "body_of", "ideal_option", "made_of", "made_of_option", "pulses_option"]


@dataclasses.dataclass(frozen=True)
class Body:
    """What a command learns on: the chip, and what is wrong with it.

    Parameters
    ----------
    initial : ChipState or None
        State to begin in, where hardware carries what is wrong.
    device : Device or None
        What the chip is made of.
    strengths : dict or None
        Strengths of what is wrong, for a checkpoint and a run folder.
    nonidealities : NonIdealities or None
        For the non-ideal model: of the device, or those given that hardware does not carry, or none at all where only
        the pulses of cells are to be counted.
    """

    chip: Chip
    initial: ChipState | None
    device: Device | None
    strengths: dict[str, Any] | None
    nonidealities: NonIdealities | None

    @property
    def summary(self) -> str:
        """The device and what of it the chip has, in a line."""
        if self.device is None:
            return "a chip of no device"
        strong = {name: value for name, value in (self.strengths or {}).items() if value and name in NONIDEALITIES}
        listed = ", ".join(f"{name} {value:.3g}" for name, value in strong.items()) or "none, an ideal chip"
        return f"device {self.device.name}; non-idealities: {listed}"

    def open(self, target: str, progress: Callable[[str], None]) -> Target:
        """The target of that name, or the non-ideal model where the device asks for it."""
        from ohmspike.host.targets.registry import open_target

        if self.nonidealities is None:
            return open_target(target, self.chip, progress=progress)
        from ohmspike.host.targets.nonideal import NonIdealTarget

        return NonIdealTarget(self.chip, self.nonidealities, self.device or Device.preset(NOMINAL))


def made_of(chip: Chip, named: str | Device | None) -> Chip:
    """The chip, with the tables of the device that is named; tables get fewer fraction bits if pulses need it."""
    if named is None:
        return chip
    device, own = named if isinstance(named, Device) else Device.load(named), Device.of_chip(chip)
    if own is not None:
        if not own.same_memristor(device):
            raise UserError(f"device must be {own.name}, of which chip {chip.name} is made, not {device.name}",
                            hint="leave --device away, or name the chip that it was made from")
        return chip
    try:
        return chip_with_device(chip, device)
    except DeviceError as error:
        bits = re.search(r"fraction_bits = (\d+) holds", error.hint or "")
        if bits is None:
            raise
        console.say(f"fraction_bits = {bits[1]} in place of {chip.fraction_bits}: {error}")
        return chip_with_device(chip, device, fraction_bits=int(bits[1]))


def body_of(chip: Chip, given: NonIdealities | None, *, ideal: bool, target: str, whole_images: bool,
            pulses: bool = False) -> Body:
    """What a command learns on: a chip of a device has all of its non-idealities, by default.

    Pulses of cells are counted on chips of a device, and where ``pulses`` asks for it: by the non-ideal model, which is
    the exact one to the bit without non-idealities, at half its speed, a third of a shared crossbar's.

    Raises
    ------
    UserError
        The target, or the coding, cannot have them.
    """
    from ohmspike.sim.model.nonideal import NonIdealities

    device = Device.of_chip(chip)
    countable = (given is None and target == "model" and chip.fire_mode == "race" and whole_images
                 and not chip.layers and chip.fraction_bits <= NOISE_FRACTION_MAX
                 and not chip.noise_bits and not chip.has_stuck_cells)
    if pulses and not countable:
        raise UserError("pulses of cells are counted by --target model, on latency-coded images and chips that race, "
                        "of one layer, without --nonidealities that hardware has", hint="leave --pulses away")
    none = NonIdealities() if countable and (pulses or device is not None) else None
    if given is not None:
        if given.in_hardware:
            made, initial = with_nonidealities(chip, given)
            return Body(made, initial, device, dataclasses.asdict(given), None)
        _check_model_alone(chip, given, target, whole_images)
        return Body(chip, None, device, dataclasses.asdict(given), given)
    if device is None or ideal:
        return Body(chip, None, device, None, none)
    spread = NonIdealities.of_device(device, seed=chip.seed, chip=chip)
    strengths = {name: value for name, value in dataclasses.asdict(spread).items() if value and name in NONIDEALITIES}
    if not strengths:
        return Body(chip, None, device, None, none)
    if target != "model":
        raise UserError(f"target must be model for all non-idealities of {device.name} "
                        f"({', '.join(strengths)}), not {target}",
                        hint="--ideal leaves them out; --nonidealities has those that hardware can: "
                             f"{', '.join(IN_HARDWARE)}")
    if chip.fire_mode != "race" or not whole_images:
        raise UserError(f"the non-idealities of {device.name} need latency-coded images and a chip that races",
                        hint="--ideal leaves them out")
    return Body(chip, None, device, dataclasses.asdict(spread), spread)


def _check_model_alone(chip, given, target, whole_images):
    """Refuse what cannot have non-idealities that the non-ideal model alone has."""
    told = ", ".join([name for name in NONIDEALITIES if name not in IN_HARDWARE and getattr(given, name)]
                     or [f"noise_law {given.noise_law}"])
    if target != "model":
        raise UserError(f"target must be model for {told}, not {target}",
                        hint=f"every target has {', '.join(IN_HARDWARE)}, with noise_law pulse")
    if chip.fire_mode != "race" or not whole_images:
        raise UserError(f"{told} must be of latency-coded images and a chip that races",
                        hint=f"{', '.join(IN_HARDWARE)} are on any chip and code")


made_of_option = click.option(
    "--device", "device_name", default=None, metavar="NAME|FILE",
    help="device that the chip is made of (see `ohmspike device show`)  [default: the chip's own, if any]")
pulses_option = click.option("--pulses", "count_pulses", is_flag=True,
                             help="count the pulses of every cell, as on chips of a device; half as fast, a shared "
                                  "crossbar a third")
ideal_option = click.option("--ideal", is_flag=True, help="leave out the non-idealities of the device")
