"""An RRAM crossbar chip with on-chip STDP: exact model, RTL, boards, analog twin.

What most programs need is here; it is imported when it is first used, so that ``import ohmspike`` costs nothing::

    from ohmspike import Chip, classify, learn, load_dataset, open_target

    data = load_dataset()
    chip = Chip.preset("tiles")
    with open_target("model", chip) as target:
        learn(target, data.train_images, data.train_labels)
        answers = classify(target, data.test_images)
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ohmspike.chip import Chip, DescriptionError, Phase, presets
    from ohmspike.host.coding.images import Encoding
    from ohmspike.host.coding.streams import stream_events
    from ohmspike.host.coding.vote import Vote
    from ohmspike.host.data.dataset import Dataset
    from ohmspike.host.data.images import load_mnist
    from ohmspike.host.data.samples import load_samples as load_dataset
    from ohmspike.host.data.streams import load_stream
    from ohmspike.host.learning.classify import classify, train_vote
    from ohmspike.host.learning.run import learn
    from ohmspike.host.runs.learned import load, save
    from ohmspike.host.support.errors import UserError
    from ohmspike.host.targets.base import Target
    from ohmspike.host.targets.registry import open_target

__all__ = ["Chip", "Dataset", "DescriptionError", "Encoding", "Phase", "Target", "UserError", "Vote", "classify",
           "learn", "load", "load_dataset", "load_mnist", "load_stream", "open_target", "presets", "save",
           "stream_events", "train_vote"]

_HOMES = {
    "Chip": "chip", "DescriptionError": "chip", "Phase": "chip", "presets": "chip",
    "Encoding": "host.coding.images", "Vote": "host.coding.vote",
    "Dataset": "host.data.dataset", "load_mnist": "host.data.images", "load_dataset": "host.data.samples",
    "classify": "host.learning.classify", "train_vote": "host.learning.classify", "learn": "host.learning.run",
    "load": "host.runs.learned", "save": "host.runs.learned", "UserError": "host.support.errors",
    "load_stream": "host.data.streams", "stream_events": "host.coding.streams",
    "Target": "host.targets.base", "open_target": "host.targets.registry",
}
_RENAMED = {"load_dataset": "load_samples"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata  # takes as long to import as all the rest

        return metadata.version("ohmspike")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), _RENAMED.get(name, name))


def __dir__() -> list[str]:
    return sorted([*globals(), "__version__", *__all__])
