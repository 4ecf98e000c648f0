"""A learned chip in one file: description, state and vote."""

import json
from pathlib import Path

import numpy as np

from ohmspike.chip import Chip, DescriptionError
from ohmspike.chip.state import ChipState
from ohmspike.chip.wording import reason
from ohmspike.host.coding.vote import Vote
from ohmspike.host.data.formats import UNREADABLE_ERRORS, check_regular
from ohmspike.host.support.atomic import write_arrays as write_npz
from ohmspike.host.support.errors import UserError

__all__ = ["FORMAT", "load", "read_arrays", "save", "write_arrays"]

FORMAT = 2


def write_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed ``.npz``, whole or not at all, and the folder it is in if there is none."""
    write_npz(path, arrays, make_folder=True)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz``; nothing in it is executed.

    Raises
    ------
    UserError
        The file cannot be read or is not a plain ``.npz``.
    """
    check_regular(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except UNREADABLE_ERRORS as error:
        if "pickle" in str(error):
            raise UserError(f"{path}: not a readable .npz file: it is no archive of plain arrays") from None
        raise UserError(f"{path}: not a readable .npz file: {reason(error)}") from None


def save(path: str | Path, chip: Chip, state: ChipState, vote: Vote | None = None, **extra: np.ndarray) -> None:
    """Save a learned chip: an ``.npz`` of plain arrays.

    ``header`` is JSON text (``format``, ``chip``, ``digest``, and the registers that the chip has), the rest are the
    arrays of :class:`~ohmspike.chip.state.ChipState` that the chip has, ``vote`` the table of the vote, and ``extra``
    (docs/files.md).
    """
    state.validate(chip)
    registers = {entry.name: entry.kind(getattr(state, entry.name)) for entry in ChipState.registers()
                 if entry.present(chip)}
    header = {"format": FORMAT, "chip": chip.to_dict(), "digest": chip.digest, **registers}
    arrays = {entry.name: getattr(state, entry.name) for entry in ChipState.memories() if entry.present(chip)}
    if vote is not None:
        arrays["vote"] = vote.table
    write_arrays(path, {"header": np.array(json.dumps(header)), **arrays, **extra})


def load(path: str | Path, chip: Chip | None = None) -> tuple[Chip, ChipState, Vote | None]:
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
        saved = Chip.from_dict(header["chip"], source=str(path))
        if saved.digest != header["digest"]:
            raise UserError(f"{path}: digest of the description must be {header['digest']}, not {saved.digest}")
        state = ChipState.of(saved, arrays, header)
        state.validate(saved)
        vote = None if "vote" not in arrays else Vote(_vote_table(arrays["vote"], saved))
    except KeyError as error:
        raise UserError(f"{path}: not a saved chip: {reason(error)} is missing") from None
    except (DescriptionError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a saved chip: {reason(error)}") from None
    if chip is not None and chip.digest != saved.digest:
        raise UserError(f"{path}: holds another chip: digest {saved.digest[:16]} ({saved.name}), expected "
                        f"{chip.digest[:16]} ({chip.name})")
    return saved, state, vote


def _vote_table(table, chip):
    last = chip.last
    if table.ndim != 3 or table.shape[:2] != (last.regions, last.neurons) or table.dtype != np.float32:
        raise ValueError(f"vote must be float32 of shape ({last.regions}, {last.neurons}, classes), "
                         f"not {table.dtype} of {table.shape}")
    return table
