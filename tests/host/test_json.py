"""Every command that has ``--json`` prints JSON and nothing else: all of them, each on a run of its own."""

import dataclasses
import functools
import json
import shutil

import click
import nir
import numpy as np
import pytest
import tomli_w

from ohmspike.boards.build import BuildReport
from ohmspike.host.commands import cli
from ohmspike.sim.analog.device import Device
from support.bars import CHIP, data

BUILT = BuildReport(
    board="icebreaker", chip="up5k", digest="0", structure_digest="0", lanes=5, clock_hz=16_875_000, baud=3_000_000,
    bitstream="x.bin", resources={"LUT4": {"used": 5, "available": 10}}, placed={}, fmax_mhz=18.5,
    worst_path=[{"component": "core", "signal": "race", "kind": "logic", "ns": 1.5}],
    cycles={"image": 7}, seconds={}, versions={}, plan="0", rtl="0", seed=None)

NEEDS = {"spice": "ngspice"}


def commands_with_json():
    """Names of all commands that have the option, those of groups as ``device fit``."""
    found = []
    for name in cli.cli.list_commands(click.Context(cli.cli)):
        command = cli.cli.get_command(click.Context(cli.cli), name)
        parts = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        found += [f"{name} {part}".strip() for part, each in parts
                  if any("--json" in option.opts for option in each.params)]
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A chip, a data set for it, pulses of a device, and a run folder."""
    folder = tmp_path_factory.mktemp("json")
    bars = data(images=250)
    np.savez(folder / "bars.npz", images=bars.train_images, labels=bars.train_labels, test_images=bars.test_images,
             test_labels=bars.test_labels)
    (folder / "small.toml").write_text(tomli_w.dumps(dataclasses.replace(CHIP, winners=1).to_dict()))
    device = Device.preset("target65").varied(name="mine", retention_drift=0.1)
    (folder / "mine.toml").write_text(device.to_toml())
    points = [f"{p},{1 + 9 * (1 - np.exp(-p / 20)) / (1 - np.exp(-1.5)):.5f},"
              f"{1 + 9 * (np.exp(-p / 20) - np.exp(-1.5)) / (1 - np.exp(-1.5)):.5f}" for p in range(31)]
    (folder / "lab.csv").write_text("\n".join(["pulse,LTP (uS),LTD (uS)", *points]))
    nir.write(folder / "net.nir", nir.NIRGraph.from_list(nir.Linear(np.ones((2, 3))),
                                                         nir.IF(np.ones(2), np.ones(2), np.zeros(2))))
    assert cli.run(["learn", "--chip", f"{folder}/small.toml", "--data", f"{folder}/bars.npz", "--out",
                    f"{folder}/runs", "--device", f"{folder}/mine.toml"]) == 0
    (folder / "runs").rename(folder / "r")
    next((folder / "r").iterdir()).rename(folder / "run")
    return folder


CALLS = {
    "wave": "--chip CHIP --data DATA --out OUT/w.vcd",
    "learn": "--chip CHIP --data DATA --out OUT",
    "classify": "RUN/learned.npz --data DATA",
    "compare": "--chip CHIP --data DATA --a model --b model --images 5 --learn",
    "demo": "--chip CHIP --data DATA --learn-on 3 --test-images 3 --out OUT",
    "search": "--chip CHIP --data DATA --study OUT/s.db --trials 1",
    "convert": "DATA OUT/new.npz",
    "exchange import": "GRAPH --out OUT/net.npz",
    "accuracy": "--table chips --only small --seed 1 --data DATA --results OUT/r.jsonl",
    "continual": "--chip CHIP --data DATA --seed 1 --out OUT/c.json",
    "robustness": "--chip CHIP --data DATA --nonideality stuck --strength 0.1 --seed 1 --workers 1 --out OUT/r.csv",
    "faults": "--flips 1",
    "fuzz": "--chip CHIP --frames 50",
    "device fit": "LAB --out OUT/lab.toml",
    "device show": "target65",
    "device study": "DEVICE --chip CHIP --data DATA --workers 1 --out OUT/s",
    "device compare": "DEVICE --chip CHIP --data DATA --seed 1 --workers 1 --out OUT/d.csv",
    "device age": "RUN --data DATA --test-images 20",
    "device coverage": "--seeds 2 --case 1",
    "energy": "RUN",
    "spice": "RUN --data DATA --case V6",
    "info": "CHIP",
    "build": "--board icebreaker --out OUT --record OUT/records.json",
    "rtl": "CHIP --out OUT/rtl",
    "synth": "CHIP --family gowin",
    "bridge": "--chip CHIP",
    "load": "RUN/learned.npz --target model",
    "scrub": "--target model --state RUN/learned.npz --restore",
}
SLOW = ("demo", "faults", "rtl", "wave")


def test_every_command_with_the_option_is_called():
    assert sorted(commands_with_json()) == sorted(CALLS)


def abridged(monkeypatch, name):
    """Cut short what takes minutes, or goes on until it is ended."""
    from ohmspike.host.integrity import faults
    from ohmspike.host.link.bridge import Bridge
    from ohmspike.host.studies import accuracy
    from ohmspike.sim.rtl import build, families

    if name == "build":
        monkeypatch.setattr("ohmspike.boards.build.build", lambda *_, **__: BUILT)
    if name == "synth":
        monkeypatch.setattr(families, "survey", lambda *_: families.Taken(dict.fromkeys(families.RESOURCES, 1), {}))
    if name == "bridge":
        monkeypatch.setattr(Bridge, "serve", lambda self: None)
    if name == "faults":
        monkeypatch.setattr(build, "faults_rtl", functools.partial(build.faults_rtl, quick=True))
        monkeypatch.setattr(faults.Campaign, "codes", lambda self: [])
    if name == "accuracy":
        monkeypatch.setattr(accuracy, "cases", lambda groups: [accuracy.Case("chips", "small", CHIP)])


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CALLS])
def test_what_a_command_prints_with_json_is_json(name, files, tmp_path, capsys, monkeypatch):
    if name in NEEDS and shutil.which(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    abridged(monkeypatch, name)
    places = {"CHIP": files / "small.toml", "DATA": files / "bars.npz", "RUN": files / "run", "OUT": tmp_path,
              "LAB": files / "lab.csv", "DEVICE": files / "mine.toml", "GRAPH": files / "net.nir"}
    words = [*name.split(), *CALLS[name].split(), "--json"]
    for key, path in places.items():
        words = [str(path) + word.removeprefix(key) if word.split("/")[0] == key else word for word in words]
    code = cli.run(words)
    out, err = capsys.readouterr()
    assert code == 0, err
    assert isinstance(json.loads(out, parse_constant=lambda value: pytest.fail(f"{value} is no JSON")), dict)
