"""Images that a chip keeps in its store: written once, then carried out from there (docs/link.md, Store)."""

import zlib
from hashlib import blake2b

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch
from ohmspike.chip.instructions import REPLAY_BYTES, STORE_COLUMNS

from .programs import NO_REPLAYS, instructions_of
from .sample import images_in
from .session import LinkSession

__all__ = ["ImageStore"]


class ImageStore:
    """What a session has written to the store of its chip, by the events that it stands for.

    Of a sample it is the beginning up to its last spike: the image, whatever is asked or taught after it. The store is
    filled from byte 0 on; images that find no room are sent as they would be without a store. What an earlier session
    may have left there counts for nothing.

    Parameters
    ----------
    least : int
        Images whose instructions take more bytes than this are kept; others would not be shorter as a REPLAY.

    Attributes
    ----------
    used : int
        Bytes written.
    """

    def __init__(self, chip: Chip, session: LinkSession, *, least: int = REPLAY_BYTES):
        self._chip, self._session, self._least = chip, session, least
        self._size = session.identity.store * STORE_COLUMNS
        self.used, self._crc = 0, 0
        self._places: dict[bytes, tuple[int, int]] = {}

    @property
    def images(self) -> int:
        """Images in the store."""
        return len(self._places)

    def intact(self) -> bool:
        """Whether the store holds what was written, by a checksum that the chip works out."""
        return self._session.check_cells("store", [(0, self.used)]) == [self._crc]

    def replays(self, batch: EventBatch, *, keep: bool) -> np.ndarray:
        """The images of a batch that lie in the store, for :func:`~ohmspike.host.link.programs.programs_of`.

        With ``keep`` images that are not there yet are written, as long as there is room.
        """
        codes = np.ascontiguousarray(batch.codes, np.int32)
        found: list[tuple[int, ...]] = []
        added: dict[bytes, tuple[int, int]] = {}
        content = bytearray()
        for start, end in images_in(codes, np.asarray(batch.offsets, np.int64)).tolist():
            image = codes[start:end]
            key = blake2b(image.tobytes(), digest_size=16).digest()
            place = self._places.get(key) or added.get(key)
            if place is None and keep:
                data = instructions_of(self._chip, EventBatch(image, np.array([0, len(image)])))
                first = self.used + len(content)
                if self._least < len(data) <= self._size - first:
                    place = added[key] = first, len(data)
                    content += data
            if place is not None:
                found.append((start, end, *place))
        if content:
            self._session.write_cells("store", self.used, np.frombuffer(content, np.uint8))
            self.used, self._crc = self.used + len(content), zlib.crc32(content, self._crc)
            self._places |= added
        return np.array(found, np.int64).reshape(-1, NO_REPLAYS.shape[1])
