"""Files to rows of cells: text in any encoding with any separator, workbooks, MATLAB and NumPy files."""

import csv
import gzip
import io
import re
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ohmspike.chip.wording import reason

from ..device import DeviceError
from .numbers import MISSING, is_number

__all__ = ["Sheet", "sheets_of"]

_COMMENT = ("#", "%", "//", "!")
_SEPARATORS = ("\t", ";", "|", ",", " ")
_NAMES = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
_ENCODINGS = ["cp1252", "cp1250", "cp1251", "mac_roman", "cp932", "gb18030", "big5", "euc_kr", "cp437", "cp850"]
_LOOKED_AT = 400
_FEW_SIGNS = 0.02
_DAMAGED = (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError,
            SyntaxError, NotImplementedError, RuntimeError, struct.error, tokenize.TokenError,
            zipfile.BadZipFile, zlib.error)
"""What the readers of NumPy, openpyxl and SciPy raise for files with bytes changed or missing."""


@dataclass
class Sheet:
    """A table of text cells.

    Parameters
    ----------
    name : str
        File, and sheet or variable if it has several.
    rows : list of lists of str
    lines : list of int
        Line (or row) of each, from 1.
    comments : list of str
        Comment lines without their marks, in their order.
    form : str
        How it was stored, for people.
    """

    name: str
    rows: list[list[str]]
    lines: list[int]
    comments: list[str] = field(default_factory=list)
    form: str = ""


def sheets_of(path: str | Path) -> list[Sheet]:
    """All tables of a file.

    Raises
    ------
    DeviceError
        The file cannot be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DeviceError(f"{path}: must be a file, not a pipe or a device", hint="save it to a file first")
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DeviceError(f"{path}: cannot be read: {reason(error)}") from None
    if not data.strip():
        raise DeviceError(f"{path}: must hold a header and rows, and is empty")
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy") or data[:6] == b"\x93NUMPY":
        return _arrays(path, _numpy(path, data), "NumPy file")
    if suffix == ".mat" or data[:6] == b"MATLAB":
        return _arrays(path, _matlab(path, data), "MATLAB file")
    if data[:4] == b"PK\x03\x04":
        return _workbook(path, data)
    if data[:4] == b"\xd0\xcf\x11\xe0":
        raise DeviceError(f"{path}: is a workbook of the old form .xls; save it as .xlsx or as CSV")
    text, encoding = _decoded(path, data)
    return [_text(path, text, encoding)]


# text

def _decoded(path, data):
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding.upper().replace("-SIG", " with a byte order mark")
            except UnicodeDecodeError as error:
                raise DeviceError(f"{path}: cannot be read as {encoding}: {error}") from None
    some = data[:2000]
    zeros = np.frombuffer(some[:len(some) // 2 * 2], np.uint8).reshape(-1, 2) == 0
    if len(zeros) and zeros.mean(0).max() > 0.4 > zeros.mean(0).min():
        encoding = "utf-16-le" if zeros.mean(0).argmax() == 1 else "utf-16-be"
        try:
            return data.decode(encoding), encoding.upper()
        except UnicodeDecodeError:
            pass
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        pass
    if b"\x00" in data[:4000]:
        raise DeviceError(f"{path}: must be text, .xlsx, .mat or .npz, and is none of them")
    if sum(byte > 127 for byte in data[:200_000]) < _FEW_SIGNS * len(data[:200_000]):
        return data.decode("cp1252", "replace"), "cp1252"  # a unit's sign or two: too little to guess from
    from charset_normalizer import from_bytes
    best = from_bytes(data[:200_000], cp_isolation=_ENCODINGS).best()
    encoding = "cp1252" if best is None else best.encoding
    return data.decode(encoding, "replace"), encoding


def _cells(line, separator):
    if separator == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]


def _numeric_share(cells):
    filled = [cell for cell in cells if cell]
    return sum(is_number(cell) or cell.lower() in MISSING for cell in filled) / len(filled) if filled else 0.0


def _separator(lines):
    """What splits most lines into the same number of cells that are mostly numbers."""
    looked = lines[-_LOOKED_AT:]
    best, most = ",", -1.0
    for separator in _SEPARATORS:
        rows = [_cells(line, separator) for line in looked]
        scores = [(len(row), _numeric_share(row)) for row in rows]
        widths = [width for width, share in scores if share > 0.3]
        if not widths:
            continue
        usual = max(set(widths), key=widths.count)
        value = sum(share for width, share in scores if share > 0.3 and width == usual) / len(looked)
        if usual == 1:
            value *= 0.5
        if value > most + 0.02:
            best, most = separator, value
    return best


def _text(path, text, encoding):
    lines, comments = [], []
    for number, line in enumerate(text.replace("\x00", "").splitlines(), 1):
        bare = line.strip().strip("\ufeff")
        mark = next((mark for mark in _COMMENT if bare.startswith(mark)), None)
        if mark == "#" and _is_header(bare):
            mark = None
        if mark is not None:
            comments.append(bare.lstrip("#%/! "))
        elif bare.strip(",;\t| ") or '"' in bare:
            lines.append((number, line.strip("\ufeff\r\n")))
    if not lines:
        raise DeviceError(f"{path}: must hold a header and rows, and is empty")
    separator = _separator([line for _, line in lines])
    rows = [_cells(line, separator) for _, line in lines]
    if separator == " ":
        width = max(set(map(len, rows[-_LOOKED_AT:])), key=[len(row) for row in rows[-_LOOKED_AT:]].count)
        rows = [_joined(line, cells, width) for (_, line), cells in zip(lines, rows, strict=True)]
    return Sheet(str(path), rows, [number for number, _ in lines], comments,
                 f"text, {encoding}, separated by {_NAMES[separator]}")


def _is_header(line):
    """``# pulses,LTP``: a first column named so, not a comment."""
    return re.match(r"#\s*(pulses?|no\.?)?\s*[,;\t]", line.lower()) is not None


def _joined(line, cells, width):
    """A header whose names hold spaces, cut where there are wide gaps, or units put back to their names."""
    if len(cells) <= width:
        return cells
    wide = [cell.strip() for cell in re.split(r"\s{2,}|\t", line.strip())]
    if len(wide) == width:
        return wide
    whole: list[str] = []
    for cell in cells:
        if whole and re.match(r"[\[({]", cell):
            whole[-1] += " " + cell
        else:
            whole.append(cell)
    return whole


# workbooks and arrays

def _workbook(path, data):
    import openpyxl
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets = []
        for sheet in book.worksheets:
            rows, lines = [], []
            for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
                cells = ["" if cell is None else repr(cell) if type(cell) is float else str(cell).strip()
                         for cell in row]
                while cells and not cells[-1]:
                    cells.pop()
                if any(cells):
                    rows.append(cells)
                    lines.append(number)
            if rows:
                sheets.append(Sheet(f"{path}" if len(book.worksheets) == 1 else f"{path}, sheet {sheet.title}", rows,
                                    lines, [], "workbook"))
    except _DAMAGED as error:
        raise DeviceError(f"{path}: cannot be read as a workbook: {error}") from None
    if not sheets:
        raise DeviceError(f"{path}: must hold a header and rows, and is empty")
    return sheets


def _numpy(path, data):
    try:
        arrays = np.load(io.BytesIO(data), allow_pickle=False)
        return {path.stem: arrays} if isinstance(arrays, np.ndarray) else {name: arrays[name] for name in arrays.files}
    except _DAMAGED as error:
        raise DeviceError(f"{path}: cannot be read as a NumPy file of plain arrays: {error}") from None


def _matlab(path, data):
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError
    try:
        arrays = loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=False)
    except NotImplementedError:
        raise DeviceError(f"{path}: is a MATLAB file of form 7.3; save it with the option -v7") from None
    except (*_DAMAGED, MatReadError) as error:
        raise DeviceError(f"{path}: cannot be read as a MATLAB file: {error}") from None
    return _flat({name: value for name, value in arrays.items() if not name.startswith("__")})


def _flat(variables, before=""):
    """Fields of structures beside plain variables."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in variables.items():
        if hasattr(value, "_fieldnames"):
            arrays |= _flat({field: getattr(value, field) for field in value._fieldnames}, f"{before}{name} ")
        else:
            arrays[before + name] = np.asarray(value)
    return arrays


def _arrays(path, arrays, form):
    """Vectors of one length are columns of one sheet, matrices are sheets of their own."""
    vectors: dict[int, dict[str, np.ndarray]] = {}
    sheets: list[Sheet] = []
    for name, array in arrays.items():
        array = np.squeeze(array)
        if array.dtype.kind not in "fiubUS" or array.ndim not in (1, 2) or array.size < 4:
            continue
        if array.ndim == 1:
            vectors.setdefault(len(array), {})[name] = array
            continue
        array = array.T if array.shape[0] < 4 <= array.shape[1] else array
        sheets.append(Sheet(f"{path}, {name}", [[f"{name} {k + 1}" for k in range(array.shape[1])],
                                                *[[_written(x) for x in row] for row in array]],
                            list(range(array.shape[0] + 1)), [], form))
    if vectors:
        length = max(vectors)
        # branches of different length are one table, padded
        columns = {name: array for size in vectors.values() for name, array in size.items()}
        rows = [[_written(array[k]) if k < len(array) else "" for array in columns.values()] for k in range(length)]
        sheets.insert(0, Sheet(str(path), [list(columns), *rows], list(range(length + 1)), [], form))
    if not sheets:
        raise DeviceError(f"{path}: must hold arrays of numbers; found {', '.join(arrays) or 'none'}")
    return sheets


def _written(value):
    return str(value) if isinstance(value, str | bytes | np.str_) else repr(float(value))
