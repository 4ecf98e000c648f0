"""A learned chip in one file: description, state and vote."""

import json
import zipfile

import numpy as np

from ohmspike.chip import Chip, DescriptionError
from ohmspike.chip.wording import reason
from ohmspike.host.coding.vote import Vote
from ohmspike.host.support.atomic import write_whole
from ohmspike.host.support.errors import UserError
from ohmspike.sim.state import ChipState

__all__ = ["FORMAT", "load", "read_arrays", "save", "write_arrays"]

FORMAT = 2
_ARRAYS = ("levels", "theta", "random", "weight", "set", "reset", "counters", "read_out", "read_out_set",
           "read_out_reset")
_REGISTERS = ("theta_step", "theta_base", "margin")
_FLAWS = ("stuck", "read_out_stuck")


def write_arrays(path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed ``.npz``, whole or not at all, and the folder it is in if there is none."""
    write_whole(path, lambda file: np.savez_compressed(file, **arrays), make_folder=True)


def read_arrays(path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz``; nothing in it is executed.

    Raises
    ------
    UserError
        The file cannot be read or is not a plain ``.npz``.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise UserError(f"{path}: not a readable .npz file: {reason(error)}") from None


def save(path, chip: Chip, state: ChipState, vote: Vote | None = None, **extra: np.ndarray) -> None:
    """Save a learned chip: an ``.npz`` of plain arrays.

    ``header`` is JSON text (``format``, ``chip``, ``digest``, ``learn``, ``theta_step``, ``theta_base``, ``margin``),
    the rest are the arrays of :class:`~ohmspike.sim.state.ChipState`, ``vote`` the table of the vote, and ``extra``.
    Of a chip with write noise the header has ``write_noise``, of one with stuck cells there are the masks.
    """
    state.validate(chip)
    header = {"format": FORMAT, "chip": chip.to_dict(), "digest": chip.digest, "learn": bool(state.learn),
              **{name: int(getattr(state, name)) for name in _registers(chip)}}
    arrays = {name: getattr(state, name) for name in _arrays(chip)}
    if vote is not None:
        arrays["vote"] = vote.table
    write_arrays(path, {"header": np.array(json.dumps(header)), **arrays, **extra})


def load(path, chip: Chip | None = None) -> tuple[Chip, ChipState, Vote | None]:
    """Load what :func:`save` wrote; safe with files from strangers.

    Parameters
    ----------
    chip : :class:`~ohmspike.chip.Chip`, optional
        The chip the file must be of.

    Raises
    ------
    UserError
        The file is damaged, of another format, or of another chip.
    """
    arrays = read_arrays(path)
    try:
        header = json.loads(str(arrays["header"]))
        if header["format"] != FORMAT:
            raise UserError(f"{path}: file format must be {FORMAT}, not {header['format']!r}")
        found = Chip.from_dict(header["chip"], source=str(path))
        if found.digest != header["digest"]:
            raise UserError(f"{path}: digest of the description must be {header['digest']}, not {found.digest}")
        state = ChipState(learn=bool(header["learn"]), **{name: int(header[name]) for name in _registers(found)},
                          **{name: arrays[name] for name in _arrays(found)})
        state.validate(found)
        vote = None if "vote" not in arrays else Vote(_vote_table(arrays["vote"], found))
    except KeyError as error:
        raise UserError(f"{path}: not a saved chip: {reason(error)} is missing") from None
    except (DescriptionError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a saved chip: {reason(error)}") from None
    if chip is not None and chip.digest != found.digest:
        raise UserError(f"{path}: holds another chip: digest {found.digest[:16]} ({found.name}), expected "
                        f"{chip.digest[:16]} ({chip.name})")
    return found, state, vote


def _registers(chip):
    return (*_REGISTERS, "write_noise") if chip.noise_bits else _REGISTERS


def _arrays(chip):
    return (*_ARRAYS, *_FLAWS) if chip.has_stuck_cells else _ARRAYS


def _vote_table(table, chip):
    if table.ndim != 3 or table.shape[:2] != (chip.tiles, chip.neurons) or table.dtype != np.float32:
        raise ValueError(f"vote must be float32 of shape ({chip.tiles}, {chip.neurons}, classes), "
                         f"not {table.dtype} of {table.shape}")
    return table
