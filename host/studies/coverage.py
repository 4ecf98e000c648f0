"""Coverage of a fit's errors over cases and seeds; every fit is kept, and none is made twice."""

import csv
import io
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from ohmspike.host.support.atomic import write_text
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.fitting.coverage import COLUMNS, Case, Coverage, counted, draw_and_fit

__all__ = ["FIELDS", "cover_cases"]

FIELDS = ("case", "seed", *COLUMNS, *(f"error of {name}" for name in COLUMNS))
"""Columns of the file: one line for every fit."""

_Fits = dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]


def cover_cases(cases: Sequence[Case], seeds: int, path: Path | None = None, *, jobs: int = 1,
                progress: Callable[[int, int], None] | None = None) -> list[Coverage]:
    """Fit simulated measurements of every case, seeds from 1 on, and count.

    Parameters
    ----------
    path : path, optional
        CSV file to which every fit is added; fits that it holds are taken from it.
    jobs : int
        Processes.

    Raises
    ------
    UserError
        The file is of something else.
    """
    fits = {} if path is None else _read(path)
    missing = [(case, seed) for case in cases for seed in range(1, seeds + 1) if (case.name, seed) not in fits]
    total = len(cases) * seeds

    def add(case: Case, seed: int, fit: tuple[np.ndarray, np.ndarray]) -> None:
        fits[case.name, seed] = fit
        if path is not None:
            _write(path, fits)
        if progress is not None:
            progress(sum((case.name, seed) in fits for case in cases for seed in range(1, seeds + 1)), total)

    if jobs == 1:
        for case, seed in missing:
            add(case, seed, draw_and_fit(case, seed))
    elif missing:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            tasks = {pool.submit(draw_and_fit, case, seed): (case, seed) for case, seed in missing}
            for task in as_completed(tasks):
                add(*tasks[task], task.result())
    return [counted(case, [fits[case.name, seed] for seed in range(1, seeds + 1)]) for case in cases]


def _read(path: Path) -> _Fits:
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        head = tuple(next(reader, ()))
        if head != FIELDS:
            raise UserError(f"{path}: not a study of coverage: columns must be {', '.join(FIELDS)}, not "
                            f"{', '.join(head)}", hint="name another file with --out")
        fits: _Fits = {}
        for line in reader:
            try:
                numbers = np.array(line[2:], float).reshape(2, len(COLUMNS))
                fits[line[0], int(line[1])] = numbers[0], numbers[1]
            except (IndexError, ValueError) as error:
                raise UserError(f"{path}: line {reader.line_num}: {error}",
                                hint="remove the line; its fit is then made again") from None
    return fits


def _write(path: Path, fits: _Fits) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for (case, seed), (values, errors) in fits.items():
        writer.writerow((case, seed, *values.tolist(), *errors.tolist()))
    write_text(path, text.getvalue(), make_folder=True)
