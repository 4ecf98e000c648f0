"""Files that other programs wrote: identified by their content, and read as arrays of images and labels."""

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from .formats import (
    IDX_TYPES,
    OBJECTS_HINT,
    UNREADABLE_ERRORS,
    DataError,
    check_regular,
    read_arrays_of,
    read_idx,
    read_npz,
)
from .recordings.formats import HEAD_BYTES, SUFFIXES, format_of, format_of_head

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["EVENTS_HINT", "IMAGE_ARRAYS", "Kind", "NIR_SPIKES", "NPZ", "NPZ_HINT", "is_events", "is_stream", "kind_of",
           "picture", "read_images", "scaled"]

IMAGE_ARRAYS = ("images", "labels", "test_images", "test_labels")
"""Names of the arrays of a data set, in files and in what the readers return."""

NPZ_HINT = "write it with numpy.savez(path, images=..., labels=...), see docs/data.md"
_EVENTS_HINT = "columns of events are named x, y, t and p; docs/data.md, Recordings"
EVENTS_HINT = "ohmspike learn, classify, compare, accuracy and search take events"
"""What takes events, where images are needed."""

_LABEL_NAMES = ("label", "labels", "class", "target", "y", "digit")
_NUMBERS = ("", "unnamed: 0", "index", "id")
"""Columns of a table that number its rows."""

_DELIMITERS = ",;\t"
_IMAGE_NAMES = ("images", "image", "x", "data", "pixels", "img")
_NPZ_NAMES = (
    ("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels"),
    ("x", "y"), ("data", "target"), ("data", "labels"), ("image", "label"))
"""Names of the arrays of images, labels, test images and test labels in archives of other programs."""

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_TEST = re.compile(r"(^|[^a-z])(test|t10k|val|valid|validation)([^a-z]|$)", re.IGNORECASE)
_NIR_BYTES = 1 << 20
_SEEN = 3
_SIDE_MIN = 4
"""Tables with fewer than 16 columns of pixels are taken for something else: of events, or of a measured device."""

Arrays = dict[str, np.ndarray]
Plane = tuple[int, int] | None


@dataclass(frozen=True)
class Kind:
    """What a file or folder is.

    Parameters
    ----------
    title : str
        What messages call it, with an article.
    read : callable, optional
        Reads its arrays; None if ``--data`` does not read such a file.
    hint : str, optional
        What to do with a file that is not read.
    events : bool
        It holds recordings of an event camera, which :mod:`ohmspike.host.data.recordings` reads.
    """

    title: str
    read: Callable[[Path, Plane], Arrays] | None = None
    hint: str | None = None
    events: bool = False


# readers
def _npz(path: Path, plane: Plane = None) -> Arrays:
    arrays, others = read_npz(path, IMAGE_ARRAYS, hint=NPZ_HINT)
    if not arrays:
        arrays, others = _npz_of_other_names(path, others)
    if "images" not in arrays:
        if {"time", "line"} <= set(others):
            raise DataError(f"{path}: an event stream (time, line, offsets), and images are needed here",
                            hint=EVENTS_HINT)
        names = f", the file has {', '.join(others)}" if others else ""
        raise DataError(f"{path}: images is missing{names}", hint=NPZ_HINT)
    return arrays


def _npz_of_other_names(path: Path, names: Sequence[str]) -> tuple[Arrays, list[str]]:
    """Arrays under the names of Keras (``x_train``) or scikit-learn (``data``, ``target``), and the other names."""
    for usual in _NPZ_NAMES:
        wanted = [next((name for name in names if name.lower() == other), "") for other in usual]
        if wanted[0]:
            arrays, others = read_npz(path, [name for name in wanted if name], hint=NPZ_HINT)
            known = dict(zip(wanted, IMAGE_ARRAYS, strict=False))
            renamed = {known[name]: array for name, array in arrays.items()}
            for name in ("images", "test_images"):
                if name in renamed and renamed[name].ndim == 2 and (side := _side(renamed[name].shape[1])) is not None:
                    renamed[name] = renamed[name].reshape(-1, side, side)
                if name in renamed and renamed[name].dtype.kind == "f":
                    renamed[name] = _integers(renamed[name])
            return renamed, others
    return {}, list(names)


def _npy(path: Path, plane: Plane = None) -> Arrays:
    packed = _is_gzip(path)
    return {"images": np.load(io.BytesIO(read_arrays_of(path)) if packed else path, allow_pickle=False)}


def _idx(path: Path, plane: Plane = None) -> Arrays:
    array = read_idx(path)
    if array.ndim == 1:
        raise DataError(f"{path}: an IDX file of labels, without images",
                        hint="name the folder that holds both, or `ohmspike convert IMAGES --labels LABELS OUT.npz`")
    return {"images": array}


def _csv(path: Path, plane: Plane = None) -> Arrays:
    text = _decoded(read_arrays_of(path))
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter) if delimiter in first else map(
        str.split, text.splitlines())  # as numpy.savetxt writes it
    rows = [row for row in lines if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"{path}: has no rows")
    names = [cell.strip().lower() for cell in rows[0]]
    header = not all(_is_number(cell) for cell in names)
    rows = rows[header:]
    width = len(names)
    for number, row in enumerate(rows, 1 + header):
        if len(row) != width:
            raise DataError(f"{path}, row {number}: must have {width} columns as the first row has, not {len(row)}")
    if not rows:
        raise DataError(f"{path}: has a header and no rows")
    column = next((names.index(name) for name in _LABEL_NAMES if header and name in names), None)
    if column is None and _side(width) is None and _side(width - 1) is not None:
        column = 0  # a label and the pixels, as Kaggle and LIBSVM users write them
    pixels = [i for i in range(width) if i != column and not (header and names[i] in _NUMBERS)]
    side = _side(len(pixels))
    if side is None:
        raise DataError(f"{path}: a table of images must have a label and the pixels of a square image in every row, "
                        f"not {width} columns ({', '.join(names[:6]) if header else 'without a header'})",
                        hint=_table_hint(names if header else [], width))
    try:
        values = np.array([[float(row[i]) for i in pixels] for row in rows])
    except ValueError as error:
        raise DataError(f"{path}: pixels must be numbers: {error}") from None
    if not np.isfinite(values).all():
        raise DataError(f"{path}: pixels must be finite numbers, not NaN or infinite")
    arrays = {"images": _integers(values).reshape(-1, side, side)}
    if column is not None:
        arrays["labels"] = _classes([row[column].strip() for row in rows])
    return arrays


def _table_hint(names: Sequence[str], width: int) -> str:
    if any(re.search(r"conductance|pulse|siemens|resistance|current", name) for name in names):
        return "a measured device goes to `ohmspike device fit`"
    if width in (3, 4) and (not names or {"x", "y"} <= {name[:1] for name in names}):
        return _EVENTS_HINT
    return "reshape the pixels yourself, and " + NPZ_HINT


def _picture_folder(path: Path, plane: Plane = None) -> Arrays:
    splits = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    train = [folder for folder in splits if re.fullmatch(r"train(ing)?", folder.name, re.IGNORECASE)]
    test = [folder for folder in splits if folder not in train and _TEST.search(folder.name)]
    sources = [train[0], *test[:1]] if train else [path]
    classes = sorted({folder.name for source in sources for folder in source.iterdir()
                      if folder.is_dir() and folder not in test})
    arrays = dict(zip(("images", "labels"), _pictures(train[0] if train else path, classes, plane), strict=True))
    if train and test:
        arrays |= dict(zip(("test_images", "test_labels"), _pictures(test[0], classes, plane), strict=True))
    return arrays


def _pictures(folder: Path, classes: Sequence[str], plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    numbers = all(re.fullmatch(r"\d{1,2}", name) for name in classes)  # folders 0, 1, …, 10 are these classes
    for label, name in ((int(name) if numbers else place, name) for place, name in enumerate(classes)):
        for file in sorted((folder / name).iterdir()) if (folder / name).is_dir() else ():
            if file.suffix.lower() in _PICTURES:
                images.append(picture(file, plane))
                labels.append(label)
                if images[-1].shape != images[0].shape:
                    raise DataError(f"{file}: pictures must all be {_size(images[0])}, not {_size(images[-1])}",
                                    hint="ohmspike convert FOLDER OUT.npz --plane 28x28 scales them")
    if not images:
        raise DataError(f"{folder}: no pictures in its folders", hint="one folder a class, or train/ and test/ of such")
    return np.stack(images), np.array(labels)


def picture(file: Path | BinaryIO, plane: Plane = None) -> np.ndarray:
    """A picture as a grey plane, uint8 of shape (height, width); scaled to ``plane`` if it is given."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.mode in ("I", "F"):
                raise ValueError(f"its pixels must have 8 or 16 bits, not 32 (mode {image.mode})")
            if image.mode.startswith("I;16"):
                return _scaled(Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), plane)
            return _scaled(image.convert("L"), plane)
    except (*UNREADABLE_ERRORS, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: not a readable picture: {error}") from None


def _scaled(image: "Image.Image", plane: Plane) -> np.ndarray:
    from PIL import Image

    if plane is not None and plane != image.size[::-1]:
        image = image.resize(plane[::-1], Image.Resampling.BOX)
    return np.asarray(image)


def scaled(images: np.ndarray, plane: tuple[int, int]) -> np.ndarray:
    """Images of uint8 scaled to a plane, each pixel the mean of those it covers."""
    from PIL import Image

    return np.stack([_scaled(Image.fromarray(image), plane) for image in images])


def _matlab(path: Path, plane: Plane = None) -> Arrays:
    from scipy.io import loadmat

    variables = {name: value for name, value in loadmat(path).items() if isinstance(value, np.ndarray)}
    images = next((value for name, value in variables.items()
                   if name.lower() in _IMAGE_NAMES and value.ndim >= 2), None)
    if images is None:
        raise DataError(f"{path}: must hold images (or X), not {', '.join(variables) or 'nothing'}", hint=NPZ_HINT)
    labels = next((np.ravel(value) for name, value in variables.items() if name.lower() in _LABEL_NAMES), None)
    if labels is not None and images.shape[0] != len(labels) == images.shape[-1]:
        images = np.moveaxis(images, -1, 0)  # MATLAB's habit: the sample is the last axis
    if images.ndim == 2 and (side := _side(images.shape[1])) is not None:
        images = images.reshape(-1, side, side)
    arrays = {"images": _integers(images) if images.dtype.kind == "f" else images}
    if labels is not None:
        arrays["labels"] = _integers(labels.astype(np.float64)) if labels.dtype.kind in "fiu" else _classes(labels)
    return arrays


def _parquet(path: Path, plane: Plane = None) -> Arrays:
    return _tables([path], plane)


def _parquet_folder(path: Path, plane: Plane = None) -> Arrays:
    return _tables(sorted(path.rglob("*.parquet")) or sorted(path.rglob("*.arrow")), plane)


def _tables(files: Sequence[Path], scale: Plane) -> Arrays:
    """Hugging Face's columns: ``image`` (encoded bytes, or lists of pixels) and ``label``."""
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError:
        raise DataError(f"{files[0]}: reading Parquet needs pyarrow, which is not installed",
                        hint="pip install 'ohmspike[convert]'") from None
    arrays: dict[str, list] = {}
    for file in files:
        try:
            table = parquet.read_table(file) if file.suffix == ".parquet" else ipc.open_stream(file).read_all()
        except pyarrow.ArrowException as error:
            raise DataError(f"{file}: not readable: {error}") from None
        columns = {name.lower(): name for name in table.column_names}
        image = next((columns[name] for name in _IMAGE_NAMES if name in columns), None)
        label = next((columns[name] for name in _LABEL_NAMES if name in columns), None)
        if image is None:
            raise DataError(f"{file}: must have a column image, not {', '.join(table.column_names)}")
        prefix = "test_" if _TEST.search(file.stem) and len(files) > 1 else ""
        arrays.setdefault(f"{prefix}images", []).extend(
            _plane(cell, scale) for cell in table.column(image).to_pylist())
        if label is not None:
            arrays.setdefault(f"{prefix}labels", []).extend(table.column(label).to_pylist())
    if "images" not in arrays:
        raise DataError(f"{files[0]}: only test splits, nothing to learn from")
    return {name: _classes(values) if name.endswith("labels") else np.stack(values) for name, values in arrays.items()}


def _plane(cell: dict | bytes | list, scale: Plane) -> np.ndarray:
    if isinstance(cell, dict):
        cell = cell["bytes"]
    if isinstance(cell, bytes):
        return picture(io.BytesIO(cell), scale)
    plane = np.asarray(cell)
    side = _side(plane.size)
    return plane.reshape(side, side) if plane.ndim == 1 and side else plane


def _idx_folder(path: Path, plane: Plane = None) -> Arrays:
    arrays: Arrays = {}
    for file in _idx_files(path):
        array = read_idx(file)
        name = ("test_" if _TEST.search(file.name) else "") + ("labels" if array.ndim == 1 else "images")
        if name in arrays:
            raise DataError(f"{file}: a second IDX file of {name} in {path}",
                            hint="one folder a data set; names of test files hold test or t10k")
        arrays[name] = array
    if "images" not in arrays:
        raise DataError(f"{path}: no IDX file of training images", hint="names of test files hold test or t10k")
    return arrays


def _idx_files(path: Path) -> list[Path]:
    """The IDX files below a folder; of a file and its ``.gz`` the plain one."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and _head(file)[:3] in _IDX_STARTS]
    return [file for file in files if file.suffix != ".gz" or file.with_suffix("") not in files]


# kinds
NPZ = Kind("a NumPy archive (.npz)", _npz)
"""The format of the project's own."""

_FOLDER_HINT = ("a folder of IDX files, of pictures (a folder a class), of Parquet files, or train/ and test/ of "
                "pictures is read; docs/data.md")
_UNPACK = "unpack it first"
_IDX_STARTS = tuple(bytes([0, 0, kind]) for kind in IDX_TYPES)
_PICTURE_HINT = "a folder with a folder of pictures for every class is read; ohmspike classify takes one picture"
_SIGNATURES = (
    (b"\x93NUMPY", Kind("one NumPy array (.npy)", _npy)),
    *((start, Kind(f"one picture ({name})", hint=_PICTURE_HINT)) for start, name in (
        (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"), (b"RIFF", "WebP"), (b"P5\n", "PGM"), (b"P6\n", "PPM"))),
    (b"PAR1", Kind("a Parquet table", _parquet)),
    (b"ARROW1", Kind("an Arrow file", hint="save it as Parquet")),
    (b"\x89HDF", Kind("an HDF5 file (.h5, or .mat of MATLAB 7.3)",
                      hint="read it with h5py, and " + NPZ_HINT)),
    (b"MATLAB", Kind("a MATLAB file (.mat)", _matlab)),
    (b"#!AER-DAT", Kind("an AEDAT recording of an event camera, of a version that is not read",
                        hint="AEDAT 2, 3 and 4 are read: docs/data.md, Recordings")),
    *((start, Kind("an IDX file", _idx)) for start in _IDX_STARTS),
    (b"BZh", Kind("a bzip2 file", hint=_UNPACK)),
    (b"\xfd7zXZ", Kind("an xz file", hint=_UNPACK)),
    (b"\x28\xb5\x2f\xfd", Kind("a Zstandard file", hint=_UNPACK)),
    (b"7z\xbc\xaf", Kind("a 7-zip archive", hint=_UNPACK)),
    (b"%PDF", Kind("a PDF document", hint=NPZ_HINT)),
    (b"version https://git-lfs", Kind("a pointer of Git LFS, not the file itself", hint="git lfs pull fetches it")),
    (b"SQLite format 3", Kind("an SQLite database (a study of `ohmspike search`?)", hint=NPZ_HINT)),
)


NIR_SPIKES = Kind("spikes as NIR data", hint="`ohmspike convert FILE OUT.npz` makes an event stream of them")
"""What ``nir.write_data`` writes."""


def _head(path: Path) -> bytes:
    """The first bytes of a file, unpacked if it is a gzip file."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if head[:2] == b"\x1f\x8b":
                file.seek(0)
                with gzip.open(file) as unpacked:
                    head = unpacked.read(HEAD_BYTES)
            return head
    except (OSError, EOFError, *UNREADABLE_ERRORS):
        return b""


def kind_of(path: Path) -> Kind:
    """What a file or folder is, by its content and not by its name.

    Parameters
    ----------
    path : path
        That exists.
    """
    if path.is_dir():
        return _kind_of_folder(path)
    check_regular(path)
    kind = _recording(path) or _kind_of_file(path)
    if kind.read in (_npz, _parquet, _matlab) and _is_gzip(path):
        return Kind(f"{kind.title}, packed with gzip", hint=_UNPACK)
    return kind


def _recording(path: Path) -> Kind | None:
    found = format_of(path)
    return None if found is None else Kind(found.title, events=True)


def _recordings(names: Iterable[str], is_one: Callable[[str], bool]) -> bool:
    """Whether there are recordings among files, by the first three of every ending."""
    seen: dict[str, int] = {}
    for name in names:
        suffix = Path(name).suffix.lower()
        if suffix in SUFFIXES and not Path(name).name.startswith("."):
            seen[suffix] = seen.get(suffix, 0) + 1
            if seen[suffix] <= _SEEN and is_one(name):
                return True
    return False


def _kind_of_folder(path: Path) -> Kind:
    below = [file for file in path.rglob("*") if file.is_file()]
    suffixes = {file.suffix.lower() for file in below}
    if not below:
        return Kind("an empty folder", hint=_FOLDER_HINT)
    if suffixes & {".parquet", ".arrow"}:
        return Kind("a folder of Parquet or Arrow files", _parquet_folder)
    if any(file.suffix.lower() in _PICTURES and file.parent != path for file in below):
        return Kind("a folder of pictures", _picture_folder)
    if suffixes & SUFFIXES and _recordings(map(str, sorted(below)), lambda name: format_of(Path(name)) is not None):
        return Kind("a folder of recordings of an event camera", events=True)
    if _idx_files(path):
        return Kind("a folder of IDX files", _idx_folder)
    if suffixes & set(_PICTURES):
        return Kind("a folder of pictures without classes", hint="put the pictures of every class into a folder of "
                                                                 "their own")
    return Kind(f"a folder with {len(below)} files that are not read", hint=_FOLDER_HINT)


def _kind_of_file(path: Path) -> Kind:
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    head = _head(path)
    if not start:
        return Kind("an empty file", hint=NPZ_HINT)
    if start == b"\x1f\x8b" and not head:
        return Kind("a damaged gzip file", hint="fetch it again")
    if head[257:262] == b"ustar":
        return Kind("a tar archive", hint=_UNPACK)
    if head[:4] == b"PK\x03\x04" or head[:4] == b"PK\x05\x06":
        return _kind_of_zip(path)
    if head.startswith(b"\x89HDF") and _is_nir(path):
        return Kind("a NIR graph", hint="a NIR graph describes a network; a chip is described in TOML and named by "
                                        "--chip (docs/files.md), --data takes the samples that it learns")
    if head.startswith(b"\x89HDF") and b"NIRGraphData" in _start(path):
        return NIR_SPIKES
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return Kind("a Python pickle", hint="a pickle runs code when it is read: open it yourself, and " + NPZ_HINT)
    if head[:2] == b"% " and re.search(rb"(?i)evt|date|data file containing", head):
        return Kind("a Prophesee recording of an event camera, whose header names no format that is read",
                    hint=".dat, and .raw of EVT 2 and 3 are read: docs/data.md, Recordings")
    return _kind_of_text(head)


def _is_nir(path: Path) -> bool:
    """Whether an HDF5 file holds the groups of a NIR graph: nodes, and edges between them."""
    start = _start(path)
    return all(re.search(rb"\0" + name + rb"\0", start) for name in (b"nodes", b"edges"))


def _start(path: Path) -> bytes:
    """What an HDF5 file holds at its beginning, where the names of its groups are."""
    try:
        with path.open("rb") as file:
            return file.read(_NIR_BYTES)
    except OSError:
        return b""


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except UNREADABLE_ERRORS:
        return NPZ  # its reader says what is damaged
    if any(name.startswith("xl/") for name in names):
        return Kind("an Excel workbook (.xlsx)", hint="save it as CSV; measured devices go to `ohmspike device fit`")
    if any(name.endswith("data.pkl") for name in names):
        return Kind("a PyTorch file (.pt)", hint="open it with torch.load, and " + NPZ_HINT)
    if any(name.endswith(".npy") and "/" not in name for name in names) or not names:
        return NPZ
    try:
        if _recordings(sorted(names), lambda name: _is_recording_in(path, name)):
            return Kind("an archive of recordings of an event camera", events=True)
    except UNREADABLE_ERRORS:
        return Kind("a damaged zip archive", hint="fetch it again")
    return Kind("a zip archive", hint=_UNPACK)


def _is_recording_in(path: Path, name: str) -> bool:
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        return name.lower().endswith(".npz") or format_of_head(file.read(HEAD_BYTES), name) is not None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _decoded(content: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with its mark; a ValueError if it is neither."""
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _kind_of_text(head: bytes) -> Kind:
    unknown = Kind("a file of an unknown kind", hint="raw pixels are numpy.fromfile(path, numpy.uint8).reshape(-1, "
                                                     f"height, width); {NPZ_HINT}")
    try:
        text = _decoded(head) if len(head) < HEAD_BYTES else _decoded(head[:-4])
    except UnicodeDecodeError:
        return unknown
    if any(ord(letter) < 9 for letter in text):
        return unknown
    if re.match(r"\s*<(!doctype html|html)", text, re.IGNORECASE):
        return Kind("a page of a web site", hint="the download went wrong: fetch the file itself")
    if re.search(r"^\s*\[(plane|grid|tile|cell|neuron|neurons|code|read_out)\]", text, re.MULTILINE):
        return Kind("a chip description (TOML)", hint="a chip is named by --chip, data by --data")
    if re.match(r"\s*[\[{]", text):
        return Kind("a JSON file", hint=NPZ_HINT)
    first, *others = text.strip().splitlines() or [""]
    pixels = _SIDE_MIN**2  # long rows may end beyond the head
    alike = bool(others) and any(first.count(mark) == others[0].count(mark) > 0 for mark in _DELIMITERS)
    words = first.split()[:-1] or [""]  # the last may be cut
    if alike or max(map(first.count, _DELIMITERS)) >= pixels or len(words) >= pixels and all(map(_is_number, words)):
        return Kind("a table of text (CSV)", _csv)
    return Kind("a text file", hint=NPZ_HINT)


def is_events(path: Path) -> bool:
    """Whether a file or folder holds events or spikes, and no images."""
    kind = kind_of(path)
    return kind.events or kind is NIR_SPIKES or kind is NPZ and _has_times(path)


def is_stream(path: Path) -> bool:
    """Whether a file is a NumPy archive of an event stream: one that holds ``time``."""
    return kind_of(path) is NPZ and _has_times(path)


def _has_times(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "time.npy" in archive.namelist()
    except UNREADABLE_ERRORS:
        return False


def read_images(path: Path, plane: Plane = None) -> Arrays:
    """The arrays of a file or folder of any kind that is read: some of :data:`IMAGE_ARRAYS`, ``images`` always.

    Parameters
    ----------
    path : path
    plane : (int, int), optional
        Height and width to which pictures are scaled while they are read, one by itself too; arrays stay as they are.

    Raises
    ------
    DataError
        What the path holds is not read, is damaged, or holds no images; with what it is and what to do.
    """
    kind = kind_of(path)
    if kind.read is None and plane is not None and kind.title.startswith("one picture"):
        return {"images": picture(path, plane)[None]}
    if kind.events:
        raise DataError(f"{path}: {kind.title}, and images are needed here", hint=EVENTS_HINT)
    if kind.read is None:
        raise DataError(f"{path}: {kind.title}, which is no set of images", hint=kind.hint)
    try:
        arrays = kind.read(path, plane)
    except UNREADABLE_ERRORS as error:
        if "pickle" in str(error):
            raise DataError(f"{path}: must be numbers, not Python objects, which could run code when read",
                            hint=OBJECTS_HINT) from None
        raise DataError(f"{path}: {kind.title} that cannot be read: {error}", hint=NPZ_HINT) from None
    if "test_labels" in arrays and "test_images" not in arrays:
        raise DataError(f"{path}: test_labels must come with test_images", hint="give both or neither")
    return arrays


# pieces
def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _side(pixels: int) -> int | None:
    side = round(max(pixels, 0)**0.5)
    return side if side >= _SIDE_MIN and side * side == pixels else None


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _integers(values: np.ndarray) -> np.ndarray:
    """Floats that are all integers, as integers."""
    return values.astype(np.int64) if len(values) and (values == np.rint(values)).all() else values


def _classes(values: Iterable[object]) -> np.ndarray:
    """Labels as integers; names become their index in the sorted list of names."""
    texts = [str(value) for value in values]
    if all(re.fullmatch(r"-?\d+(\.0+)?", text) for text in texts):
        return np.array([int(float(text)) for text in texts])
    return np.unique(texts, return_inverse=True)[1]
