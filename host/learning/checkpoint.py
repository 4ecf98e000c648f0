"""What interrupts a learning run, and how it goes on."""

import hashlib
import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip
from ohmspike.host.data.dataset import Samples
from ohmspike.host.data.streams import Stream
from ohmspike.host.runs.learned import load, read_arrays, save
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.base import Target

from .host_read_out import HostReadOut

CHECKPOINT_SECONDS = 10.0

FORMER_KEYS = {"flaws": "nonidealities", "curve": "prequential"}
"""Keys of a checkpoint's run in earlier versions."""


class Interruption:
    """Keep Ctrl-C until a chunk is done, so that a run stops where it can go on; a second Ctrl-C acts at once."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *exception):
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def digest_of(samples: Samples) -> str:
    """SHA-256 of an array, or of the arrays of a stream."""
    digest = hashlib.sha256()
    arrays = [samples.time, samples.line, samples.offsets] if isinstance(samples, Stream) else [np.asarray(samples)]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def checkpoint_path(folder: Path, chip: Chip, target: str, run: dict[str, Any]) -> Path:
    """Where the checkpoint of a run stands in a folder: runs that differ in anything have files of their own."""
    facts = json.dumps([chip.digest, run], sort_keys=True)
    name = re.sub(r"[^a-z0-9]+", "-", target)
    return folder / f"{chip.name}-{name}-{chip.seed}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}.checkpoint.npz"


def save_checkpoint(target: Target, path: Path, run: dict[str, Any], host: HostReadOut | None) -> None:
    """Write everything that a run needs to go on."""
    taught: dict[str, Any] = {} if host is None else host.arrays()
    kept: dict[str, Any] = {f"history_{name}": array for name, array in target.history().items()}
    save(path, target.chip, target.state(), run=np.array(json.dumps(run)), **taught, **kept)


def resumed_run(target: Target, path: Path, run: dict[str, Any]
                ) -> tuple[int, list[tuple[int, float]], list[dict[str, Any]], HostReadOut | None]:
    """Load a checkpoint: samples presented, prequential curve, phases that are over, copy of the read-out.

    Raises
    ------
    UserError
        It is damaged, or of another run.
    """
    _, state, _ = load(path, target.chip)
    arrays = read_arrays(path)
    if "run" not in arrays:
        raise UserError(f"{path}: is a saved chip, not a checkpoint of a run")
    kept = {FORMER_KEYS.get(name, name): value for name, value in json.loads(str(arrays["run"])).items()}
    for name, expected in run.items():
        if kept.get(name) != expected:
            raise UserError(f"{path}: checkpoint of another run: {name} is {kept.get(name)!r}, expected {expected!r}",
                            hint="remove the checkpoint, or give the options of the interrupted run")
    target.load(state, keep_counters=True)
    target.restore({name.removeprefix("history_"): array for name, array in arrays.items()
                    if name.startswith("history_")})
    host = None
    if "host_read_out" in arrays:
        host = HostReadOut(target.chip, arrays["host_read_out"])
        host.resume(arrays)
    return kept["done"], [tuple(point) for point in kept["prequential"]], kept.get("phases", []), host
