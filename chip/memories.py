"""What a memory and a register are: the kinds of declarations that :mod:`ohmspike.chip.state` is made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .description import Chip

__all__ = ["BITS_16", "BITS_32", "BITS_64", "Memory", "Register", "Size", "always", "full"]


@dataclass(frozen=True)
class Size:
    """A number that the description of a chip decides, and the words for it in documents."""

    text: str
    of: Callable[[Chip], int]


Sized = str | int | Size
"""A number: itself, the name of an integer of :class:`~ohmspike.chip.Chip`, or a :class:`Size`."""


def _number(chip, size: Sized) -> int:
    if isinstance(size, int):
        return size
    return size.of(chip) if isinstance(size, Size) else getattr(chip, size)


def _text(size: Sized) -> str:
    return size.text if isinstance(size, Size) else str(size)


def full(bits: str) -> Size:
    """The largest number of as many bits as this field of the chip tells."""
    return Size(f"2^{bits} − 1", lambda chip: (1 << getattr(chip, bits)) - 1)


def _fixed(bits: int) -> Size:
    return Size(f"2^{bits} − 1", lambda chip: (1 << bits) - 1)


BITS_16, BITS_32, BITS_64 = _fixed(16), _fixed(32), _fixed(64)


def always(chip: Chip) -> bool:
    """Of every chip."""
    return True


def never(chip: Chip) -> bool:
    """Of no chip."""
    return False


@dataclass(frozen=True, kw_only=True)
class Memory:
    """An array of cells: in the state of a chip, in a file, and on the link.

    On the link it has rows and columns; a burst runs along the columns, then to the next row. The last dimension of the
    array are the columns, the others together the rows.

    Parameters
    ----------
    name : str
        Its name everywhere: attribute of the state, array in a file, memory of a target.
    code : int
        Its number on the link.
    cell_bytes : int
        Bytes of a cell, on the link and in the array: 1, 2, 4 or 8, unsigned.
    dimensions : tuple
        The shape of the array.
    top : int, str or :class:`Size`
        The largest value of a cell; the smallest is 0.
    summary : str
        One line for documents.
    present : callable
        Whether a chip has it. Without, the array has a first dimension of 0, and files do not hold it. On the link
        there is no memory without cells either.
    initial : callable, optional
        Contents before the first sample; zeros if absent.
    upright : bool
        An array of one dimension is a column: one cell a row.
    host_only : bool
        Only the host changes it; events leave it as it is.
    read_only : callable
        Whether the host cannot write it, in a chip.
    """

    name: str
    code: int
    cell_bytes: int
    dimensions: tuple[Sized, ...]
    top: Sized
    summary: str
    present: Callable[[Chip], bool] = always
    initial: Callable[[Chip], np.ndarray] | None = None
    upright: bool = False
    host_only: bool = False
    read_only: Callable[[Chip], bool] = never

    @property
    def dtype(self) -> np.dtype:
        """Type of the array."""
        return np.dtype(f"u{self.cell_bytes}")

    def shape(self, chip: Chip) -> tuple[int, ...]:
        """Shape of the array."""
        shape = tuple(_number(chip, size) for size in self.dimensions)
        return shape if self.present(chip) else (0, *shape[1:])

    def rows(self, chip: Chip) -> int:
        """Rows on the link: 0 if the chip does not have the memory."""
        return self.grid(chip)[0]

    def columns(self, chip: Chip) -> int:
        """Columns on the link."""
        return self.grid(chip)[1]

    def grid(self, chip: Chip) -> tuple[int, int]:
        """Rows and columns on the link."""
        shape = self.shape(chip)
        if not math.prod(shape):
            return 0, shape[-1]
        return (shape[0], 1) if self.upright else (math.prod(shape[:-1]), shape[-1])

    def largest(self, chip: Chip) -> int:
        """The largest value of a cell."""
        return _number(chip, self.top)

    def bits(self, chip: Chip) -> int:
        """Width of a cell in the chip."""
        return self.largest(chip).bit_length()

    def writable(self, chip: Chip) -> bool:
        """Whether the host can write it."""
        return not self.read_only(chip)

    def first_contents(self, chip: Chip) -> np.ndarray:
        """The array before the first sample."""
        if self.initial is None:
            return np.zeros(self.shape(chip), self.dtype)
        return self.initial(chip)

    @property
    def shape_text(self) -> str:
        """The shape in words."""
        sizes = [_text(size) for size in self.dimensions]
        return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"

    @property
    def range_text(self) -> str:
        """The values of a cell in words."""
        return f"0 to {_text(self.top)}"


@dataclass(frozen=True, kw_only=True)
class Register:
    """A control register: a word of the memory ``registers``, and a number in the state.

    Parameters
    ----------
    name : str
        Its name everywhere.
    column : int
        Its place on the link among all registers; a chip that does not have one moves the later ones up.
    top : int, str or :class:`Size`
        Its largest value; the chip keeps as many bits.
    summary : str
        One line for documents.
    kind : type
        ``bool`` or ``int``, in the state and in files.
    present : callable
        Whether a chip has it; it is 0 in a chip that has not, and files do not hold it.
    initial : callable, optional
        Its value before the first sample; 0 if absent.
    reset : int
        Its value after a reset.
    """

    name: str
    column: int
    top: Sized
    summary: str
    kind: type = int
    present: Callable[[Chip], bool] = always
    initial: Callable[[Chip], int] | None = None
    reset: int = 0

    def largest(self, chip: Chip) -> int:
        """Its largest value."""
        return _number(chip, self.top)

    def bits(self, chip: Chip) -> int:
        """Its width in the chip."""
        return self.largest(chip).bit_length()

    def first_value(self, chip: Chip) -> int:
        """Its value before the first sample; 0 in a chip that does not have it."""
        return self.kind(0 if self.initial is None or not self.present(chip) else self.initial(chip))

    @property
    def range_text(self) -> str:
        """Its values in words."""
        return f"0 to {_text(self.top)}"
