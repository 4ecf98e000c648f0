"""Recordings as samples: folders and their labels, long recordings cut, events in arrays that may be files."""

import contextlib
import csv
import dataclasses
import io
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ohmspike.host.data.dataset import HELD_OUT_SEED, HELD_OUT_SHARE, LABEL_TOP, Dataset, held_out
from ohmspike.host.data.formats import UNREADABLE_ERRORS, DataError, Progress
from ohmspike.host.data.streams import SIDE_TOP, Stream
from ohmspike.host.support.errors import RunWarning

from .events import Events, Recording, sensor_for
from .formats import ARCHIVE, SUFFIXES, Format, format_of
from .tables import read_npz_events

__all__ = ["Cut", "Recordings", "WINDOW_MS", "load_recordings"]

WINDOW_MS = 100.0
"""Length of a sample of a recording without labels that lasts longer than :data:`SHORT_MS`."""

SHORT_MS = 1000.0
_TOP_US = (1 << 31) - 1
_TRAIN = re.compile(r"train(ing)?", re.IGNORECASE)
_TEST = re.compile(r"(^|[^a-z])(test|val|valid|validation)([^a-z]|$)", re.IGNORECASE)
_TRIALS = ("trials_to_train.txt", "trials_to_test.txt")
_CHUNK = 1 << 22
_TOLD = 12
_MANY = 1000


@dataclass(frozen=True)
class Cut:
    """How recordings become samples.

    Parameters
    ----------
    window_ms : float, optional
        Length of a sample; recordings are cut into such. Without it a recording with a label is one sample, and so is
        one of at most a second; longer ones without labels are cut every 100 ms.
    sensor : (int, int), optional
        Height and width of the camera, where the file does not say it.
    """

    window_ms: float | None = None
    sensor: tuple[int, int] | None = None

    def facts(self) -> dict[str, object]:
        """What a run notes of it."""
        return {name: value for name, value in (("window", self.window_ms), ("sensor", self.sensor))
                if value is not None}

    def named(self, name: str) -> str:
        """A name with what of it was asked for."""
        window = [] if self.window_ms is None else [f"window {self.window_ms:g} ms"]
        return ", ".join([name, *window, *([] if self.sensor is None else ["sensor {}x{}".format(*self.sensor)])])

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Cut":
        """What a run noted."""
        sensor = facts.get("sensor")
        return cls(facts.get("window"), None if sensor is None else (int(sensor[0]), int(sensor[1])))


@dataclass
class _Source:
    """A file; its label, or the labels of parts of it, rows of class, begin and end in µs; its format, if known."""

    path: Path
    label: int | None = None
    parts: np.ndarray | None = None
    kind: Format | None = None


@dataclass
class _Piece:
    """Events of a recording, or of a labelled part of it: times from its beginning on, ascending."""

    time: np.ndarray
    code: np.ndarray
    label: int | None


@dataclass
class Recordings:
    """What a file, folder or archive holds.

    Parameters
    ----------
    path : path
    train : Stream
        Times in µs, int32, of a sample from its beginning on.
    test : Stream, optional
        The test split, if it stands apart.
    groups : int64 array
        The recording of every sample of ``train``, ascending.
    name : str
        Of the file or folder, with the options it was cut by: results of others are others.
    """

    path: Path
    train: Stream
    test: Stream | None
    groups: np.ndarray
    name: str

    def dataset(self, say: Progress) -> Dataset[Stream]:
        """As a data set. Without a test split a seventh is held out, whole recordings if there are several."""
        first, last = self.train, self.test
        if last is None:
            return self._divided(say)
        count = 10_000 if (len(first), len(last)) == (60_000, 10_000) else 0  # that of MNIST
        return Dataset(first, first.labels, last, last.labels, self.name, validation_last=count)

    def _divided(self, say: Progress) -> Dataset[Stream]:
        stream, groups = self.train, self.groups
        if len(stream) < 2:
            raise DataError(f"{self.path}: samples must be at least 2, one of them to be held out, not {len(stream)}",
                            hint="--window MS cuts recordings into samples")
        if groups[0] == groups[-1]:
            groups = np.arange(len(stream))
        firsts = np.flatnonzero(np.diff(groups, prepend=-1))
        labels = None if stream.labels is None else stream.labels[firsts]
        _, out = held_out(len(firsts), labels, max(1, len(firsts) // HELD_OUT_SHARE), HELD_OUT_SEED)
        chosen = np.isin(groups, groups[firsts[out]])
        parts = "" if len(firsts) == len(stream) else f"those of {len(out):,} recordings, "
        say(f"{self.path}: {int(chosen.sum()):,} of {len(stream):,} samples, {parts}drawn at random, are held out")
        first, last = stream[np.flatnonzero(~chosen)], stream[np.flatnonzero(chosen)]
        return Dataset(first, first.labels, last, last.labels, self.name, True)


def load_recordings(path: Path, say: Progress, cut: Cut) -> Recordings:
    """What a file, folder or zip archive of recordings holds.

    A folder holds ``train`` and ``test``, or the two lists of DVS128 Gesture, or a folder for every class, or
    recordings without labels. Samples are in the order of the numbers in the names of their files, if no two have the
    same, as those of N-MNIST; else the classes take turns.

    Parameters
    ----------
    path : path
        That :func:`~ohmspike.host.data.foreign.kind_of` calls one of recordings.

    Raises
    ------
    DataError
        A file is damaged or has events outside of its sensor; there is no recording; a sample lasts more than 2,147 s.
    """
    with _unpacked(path) as root:
        splits = _splits(root, path)
        if (count := sum(map(len, splits))) >= _MANY:
            say(f"{path}: reading {count:,} files")
        gathered = [_gathered(sources, path, cut) for sources in splits]
    sensors = [cut.sensor or each.sensor for each in gathered]
    sensor = max(sensors, key=lambda each: each[0] * each[1])
    if any(each != sensor for each in sensors):
        sensor = max(each[0] for each in sensors), max(each[1] for each in sensors)
    streams = [each.stream(path.name, sensor) for each in gathered]
    if said := _named_classes(splits):
        say(f"{path}: classes are {said}")
    for each, stream, what in zip(gathered, streams, ("", " to be tested on"), strict=False):
        say(f"{path}: {each.recordings:,} recordings{what}, {len(stream):,} samples, {len(stream.time):,} events of "
            f"{sensor[0]}x{sensor[1]} pixels" + each.note)
    return Recordings(path, streams[0], streams[1] if len(streams) == 2 else None, gathered[0].groups,
                      cut.named(path.name))


# files
@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The folder in an archive, as long as it is needed; else the path itself."""
    if path.is_dir() or path.suffix.lower() == ".npz" or not zipfile.is_zipfile(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        _unpack(path, folder)
        try:
            yield Path(folder)
        except DataError as error:  # of a file in the archive
            raise DataError(str(error).replace(folder, str(path)), hint=error.hint) from None


def _unpack(path: Path, folder: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if Path(name).suffix.lower() in SUFFIXES]
            size = sum(archive.getinfo(name).file_size for name in names)
            if size > shutil.disk_usage(folder).free:
                raise DataError(f"{path}: takes {size:,} bytes unpacked, and {folder} has not as many free",
                                hint="unpack it yourself, and name the folder")
            archive.extractall(folder, names)
    except UNREADABLE_ERRORS as error:
        raise DataError(f"{path}: not a readable archive: {error}", hint="fetch it again") from None


def _recordings_in(folder: Path, *, report: bool = False) -> list[tuple[Path, Format]]:
    """The recordings directly in a folder, in the order of their names, and their formats; others may be warned of."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    kinds = [format_of(file) if file.suffix.lower() in SUFFIXES else None for file in files]
    others = [file for file, kind in zip(files, kinds, strict=True) if kind is None]
    if report and others:
        warnings.warn(f"{folder}: {len(others):,} files are no recordings and are left out, the first {others[0].name}",
                      RunWarning, stacklevel=2)
    return [(file, kind) for file, kind in zip(files, kinds, strict=True) if kind is not None]


def _splits(root: Path, path: Path) -> list[list[_Source]]:
    """What is learned, and what is tested on if it stands apart."""
    if root.is_file():
        return [[_with_parts(_Source(root))]]
    while True:
        folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name[0] not in "._"]
        train = [folder for folder in folders if _TRAIN.fullmatch(folder.name)]
        test = [folder for folder in folders if folder not in train and _TEST.search(folder.name)]
        if len(folders) == 2 and not train:  # as n-cars_train and n-cars_test
            pair = [[folder for folder in folders if word in folder.name.lower()] for word in ("train", "test")]
            train, test = pair if pair[0] and pair[1] and pair[0] != pair[1] else (train, test)
        lone = len(folders) == 1 and not _recordings_in(root)
        if lone and (train or test or any(each.is_dir() for each in folders[0].iterdir()) or not folders[0].name[-1:]
                     .isdigit() and path != root):
            root = folders[0]
            continue
        break
    if train:
        names = _classes([train[0], *test[:1]])
        return [_sources(split, names, path) for split in (train[0], *test[:1])]
    if all((root / name).is_file() for name in _TRIALS):
        return [[_with_parts(_Source(root / name)) for name in _listed(root / trials)] for trials in _TRIALS]
    return [_sources(root, _classes([root]), path)]


def _listed(trials: Path) -> list[str]:
    names = [line.strip() for line in trials.read_text("utf-8", "replace").splitlines() if line.strip()]
    for name in names:
        if "/" in name or "\\" in name or not (trials.parent / name).is_file():
            raise DataError(f"{trials}: names {name!r}, which is not there", hint="unpack the whole set")
    return names


def _classes(splits: list[Path]) -> list[str]:
    return sorted({folder.name for split in splits for folder in split.iterdir()
                   if folder.is_dir() and folder.name[0] not in "._" and _has_recordings(folder)})


def _has_recordings(folder: Path) -> bool:
    return any(file.is_file() and file.suffix.lower() in SUFFIXES and format_of(file) is not None
               for file in folder.iterdir())


def _sources(folder: Path, names: list[str], path: Path) -> list[_Source]:
    """Recordings in a folder of each class, or directly in the folder.

    Folders of users that hold one recording a class, named by its number, are DVS128 Gesture as Tonic unpacks it.
    """
    numbers = all(re.fullmatch(r"\d{1,4}", name) for name in names)
    by_user = bool(names) and all(re.match(r"user\d+", name) for name in names)
    sources = []
    for place, name in enumerate(names):
        if (folder / name).is_dir():
            label = int(name) if numbers else place
            found = _recordings_in(folder / name, report=True)
            if by_user and all(re.fullmatch(r"\d{1,4}", file.stem) for file, _ in found):
                sources += [_Source(file, int(file.stem), kind=kind) for file, kind in found]
            else:
                sources += [_Source(file, label, kind=kind) for file, kind in found]
    if sources and (beside := _recordings_in(folder)):
        warnings.warn(f"{folder}: {len(beside):,} recordings next to folders of classes are left out, the first "
                      f"{beside[0][0].name}", RunWarning, stacklevel=2)
    if not sources:
        sources = [_with_parts(_Source(file, kind=kind)) for file, kind in _recordings_in(folder)]
    if not sources:
        raise DataError(f"{path}: has no recordings of an event camera", hint="docs/data.md, Recordings")
    return _ordered(sources)


def _ordered(sources: list[_Source]) -> list[_Source]:
    """By the numbers in their names if no two have the same, else so that the classes take turns in even shares."""
    labels = np.array([-1 if source.label is None else source.label for source in sources])
    found = [re.search(r"(\d{1,18})\D*$", source.path.stem) for source in sources]
    numbers = [int(match[1]) if match else -1 for match in found]
    if len(set(numbers)) == len(numbers) and min(numbers) >= 0:
        return [sources[i] for i in np.argsort(numbers, kind="stable")]
    rank = np.zeros(len(sources))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return [sources[i] for i in np.argsort(rank, kind="stable")]


def _named_classes(splits: list[list[_Source]]) -> str:
    """Labels and the names of their folders, where those are no numbers."""
    names = {source.label: source.path.parent.name for sources in splits for source in sources
             if source.label is not None and not source.path.parent.name.isdigit()
             and source.path.stem != str(source.label)}
    told = [f"{label} {name}" for label, name in sorted(names.items())]
    return ", ".join(told[:_TOLD]) + (" …" if len(told) > _TOLD else "")


def _with_parts(source: _Source) -> _Source:
    """With the labels that stand in ``NAME_labels.csv`` next to a recording, as in DVS128 Gesture."""
    beside = source.path.with_name(f"{source.path.stem}_labels.csv")
    if source.path.name.endswith("_labels.csv") or not beside.is_file():
        return source
    rows = list(csv.reader(io.StringIO(beside.read_text("utf-8-sig", "replace"))))
    parts = []
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or number == 1 and not cells[0].isdigit():
            continue
        if len(cells) != 3 or not all(re.fullmatch(r"\d{1,18}", cell) for cell in cells) or not (
                1 <= int(cells[0]) <= LABEL_TOP and int(cells[1]) <= int(cells[2])):
            raise DataError(f"{beside}, line {number}: must be a class from 1 up, its begin and its end in µs, not "
                            f"{','.join(row)[:60]!r}", hint="class,startTime_usec,endTime_usec")
        parts.append([int(cell) for cell in cells])
    return dataclasses.replace(source, parts=np.array(parts, np.int64).reshape(-1, 3))


# events
class _Gathered:
    """Samples as they are read, in two files without names."""

    def __init__(self):
        self._time, self._code = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._lengths: list[np.ndarray] = []
        self._labels: list[int | None] = []
        self._groups: list[np.ndarray] = []
        self.sensor, self.span, self.note, self.recordings = (0, 0), None, "", 0
        self.known: list[tuple[int, int] | None] = []
        self._highest = (0, 0)

    def add(self, piece: _Piece, window: int | None) -> None:
        """A piece, cut every ``window`` µs if it is given; windows without events are left out."""
        time, starts = piece.time, np.zeros(min(1, 1 if window is None else len(piece.time)), np.int64)
        if window is not None and len(time):
            number = time // window
            starts = np.flatnonzero(np.diff(number, prepend=-1))
            time = time - number * window
        if len(time) and time[-1 if window is None else 0] > _TOP_US:
            raise DataError(f"a sample must last at most {_TOP_US / 1e6:,.0f} s, not {time[-1] / 1e6:,.0f} s",
                            hint="--window cuts recordings into samples")
        self._time.write(time.astype(np.int32).tobytes())
        self._code.write(piece.code.tobytes())
        self._lengths.append(np.diff(np.r_[starts, len(time)]))
        self._groups.append(np.full(len(starts), len(self._groups)))
        self._labels += [piece.label] * len(starts)

    def see(self, events: Events, name: str, sensor: tuple[int, int] | None) -> None:
        """Refuse events outside of their sensor."""
        if not len(events.x):
            return
        height, width = sensor or (SIDE_TOP, SIDE_TOP)
        wrong = (events.x < 0) | (events.y < 0) | (events.x >= width) | (events.y >= height)
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(f"{name}: event {at:,} must be of a sensor of {height}x{width}, not at x = "
                            f"{events.x[at]}, y = {events.y[at]}", hint="--sensor HEIGHTxWIDTH names the sensor")
        self._highest = (max(self._highest[0], int(events.y.max()) + 1),
                         max(self._highest[1], int(events.x.max()) + 1))

    def close(self, wanted: tuple[int, int] | None) -> None:
        """Decide on the sensor: the one asked for, else that of the files, else the smallest usual one."""
        if wanted is not None:
            self.sensor = wanted
        elif self.known and all(self.known):
            self.sensor = (max(each[0] for each in self.known if each),
                           max(each[1] for each in self.known if each))
        else:
            self.sensor = sensor_for(*self._highest)
            self.note += " (the smallest usual sensor that has them; --sensor names another)"

    @property
    def groups(self) -> np.ndarray:
        """The recording of every sample."""
        return np.concatenate([np.zeros(0, np.int64), *self._groups])

    def stream(self, name: str, sensor: tuple[int, int]) -> Stream:
        """All samples; what is larger than memory stays in files that vanish with it."""
        offsets = np.r_[0, np.cumsum(np.concatenate([np.zeros(0, np.int64), *self._lengths]))].astype(np.int64)
        time, line = (_mapped(file, int(offsets[-1])) for file in (self._time, self._code))
        for first in range(0, len(line), _CHUNK):
            code = line[first:first + _CHUNK].view(np.uint32)
            line[first:first + _CHUNK] = ((code & 1) * sensor[0] + (code >> 17)) * sensor[1] + (code >> 1 & 0xFFFF)
        labels = None
        if self._labels and all(label is not None for label in self._labels):
            labels = np.array(self._labels, np.int64)
        return Stream(time, line, offsets, labels, None, name, sensor, self.span)


def _mapped(file: BinaryIO, count: int) -> np.ndarray:
    file.flush()
    return np.memmap(file, np.int32, "r+", shape=(count,)) if count else np.zeros(0, np.int32)


def _gathered(sources: list[_Source], path: Path, cut: Cut) -> _Gathered:
    """The samples of recordings."""
    found = _Gathered()
    spans = set()
    window = None if cut.window_ms is None else max(1, round(cut.window_ms * 1000))
    labelled = all(source.label is not None or source.parts is not None for source in sources)
    waiting: list[_Piece] | None = None if labelled or window is not None else []
    try:
        for source in sources:
            for name, recording, label in _opened(source):
                found.recordings += 1
                found.known.append(recording.sensor)
                spans.add(recording.span)
                events = _whole(recording.blocks)
                found.see(events, name, cut.sensor or recording.sensor)
                for piece in _pieces(events, source, label, recording.span):
                    if waiting is None:
                        found.add(piece, window)
                    else:
                        waiting.append(piece)
        if waiting is not None:
            if any(piece.label is None and len(piece.time) and piece.time[-1] > SHORT_MS * 1000 for piece in waiting):
                window = round(WINDOW_MS * 1000)
            for piece in waiting:
                found.add(piece, window)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", hint="recordings are read by way of the folder for "
                        "temporary files") from None
    if window is not None:
        found.note = f", cut every {window / 1000:g} ms" + ("; --window names another length"
                                                            if cut.window_ms is None else "")
    found.span = window if window is not None else spans.pop() if len(spans) == 1 else None
    found.close(cut.sensor)
    return found


def _opened(source: _Source) -> Iterator[tuple[str, Recording, int | None]]:
    """The recordings of a file, what messages call them, and their labels."""
    kind = source.kind or format_of(source.path)
    if kind is None:
        raise DataError(f"{source.path}: is no recording of an event camera", hint="docs/data.md, Recordings")
    if kind is ARCHIVE:
        recordings, labels = read_npz_events(source.path)
        if labels is not None and (labels.shape != (len(recordings),) or labels.dtype.kind not in "iu" or len(labels)
                                   and not 0 <= labels.min() <= labels.max() <= LABEL_TOP):
            raise DataError(f"{source.path}: labels must be integers 0 to {LABEL_TOP} of shape ({len(recordings)},), "
                            f"not {labels.dtype} of {labels.shape}")
        for number, recording in enumerate(recordings):
            yield str(source.path), recording, source.label if labels is None else int(labels[number])
        return
    with kind.open(source.path) as recording:
        yield str(source.path), recording, source.label


def _whole(blocks: Iterator[Events]) -> Events:
    parts = list(blocks)
    if len(parts) == 1:
        return parts[0]
    empty = np.zeros(0, np.int64)
    return Events(*(np.concatenate([part[i] for part in parts] or [empty]) for i in range(4)))


def _pieces(events: Events, source: _Source, label: int | None, span: int | None) -> Iterator[_Piece]:
    """The events of a recording, or those of its labelled parts; from time 0 on if the set has a span."""
    time = events.time
    code = events.y.astype(np.uint32) << 17 | events.x.astype(np.uint32) << 1 | (~events.on)
    if len(time) and (np.diff(time) < 0).any():
        order = np.argsort(time, kind="stable")
        time, code = time[order], code[order]
    if source.parts is None:
        yield _Piece(time if span else time - time[:1], code, label)
        return
    for kind, begin, end in source.parts:
        part = slice(*np.searchsorted(time, [begin, end]))
        yield _Piece(time[part] - time[part][:1], code[part], int(kind) - 1)
