"""Chip descriptions: what is refused and how, reading and writing, geometry, tables, digests."""

import dataclasses
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmspike.chip import Chip, DescriptionError, Layer, Phase, presets
from ohmspike.chip.counters import counter_names
from ohmspike.chip.described import Described, entry, toml_text
from ohmspike.chip.instructions import _OPTIONAL, IDENTITY_WORDS, REGISTERS, identity_words, memory, register_names

BASE = Chip(name="base", plane_height=8, plane_width=6, patch_height=3, patch_width=2, stride=2, neurons=4, winners=2)

PRESETS = Path(__file__).parents[2] / "chip" / "presets"
INTEGERS = [spec for spec in dataclasses.fields(Chip) if spec.metadata["kind"] is int]
REALS = [spec for spec in dataclasses.fields(Chip) if spec.metadata["kind"] is float]


def vary(**fields):
    return dataclasses.replace(BASE, **fields)


# what is refused


@pytest.mark.parametrize("spec", INTEGERS, ids=lambda spec: spec.name)
def test_integers_out_of_range_are_refused(spec):
    low, high = spec.metadata["low"], spec.metadata["high"]
    for value in (low - 1, high + 1):
        with pytest.raises(DescriptionError, match=rf"^{spec.name} must be {low} to {high}, not {value}$"):
            vary(**{spec.name: value})
    for value in (1.0, "1", True, None):
        with pytest.raises(DescriptionError, match=rf"^{spec.name} must be of type int, not {value!r}$"):
            vary(**{spec.name: value})


@pytest.mark.parametrize("spec", REALS, ids=lambda spec: spec.name)
def test_reals_out_of_range_are_refused(spec):
    low, high = spec.metadata["low"], spec.metadata["high"]
    for value in (low - 0.5, high + 1.0, math.nan, math.inf, -math.inf):
        with pytest.raises(DescriptionError, match=rf"^{spec.name} must be {low:g} to {high:g}, not {value!r}$"):
            vary(**{spec.name: value})
    with pytest.raises(DescriptionError, match=rf"^{spec.name} must be of type float, not 'x'$"):
        vary(**{spec.name: "x"})


@pytest.mark.parametrize("fields, message", [
    ({"name": 3}, r"^name must be of type str, not 3$"),
    ({"fire_mode": "rase"}, r"^fire_mode must be one of race, threshold, not 'rase'$"),
    ({"weight_store": "rom"}, r"^weight_store must be one of memory, fixed, not 'rom'$"),
    ({"patch_height": 9}, r"^patch_height must be at most plane_height = 8, not 9$"),
    ({"patch_width": 7}, r"^patch_width must be at most plane_width = 6, not 7$"),
    ({"plane_height": 4096}, None),
    ({"plane_height": 4096, "plane_width": 4096}, r"^lines must be at most 65536, not 16777216$"),
    ({"plane_height": 256, "plane_width": 256, "stride": 1}, r"^tiles x rows must be at most 65536, not \d+$"),
    ({"plane_height": 256, "plane_width": 256, "patch_height": 256, "patch_width": 256, "neurons": 4096},
     r"^synapses must be at most 67108864, not 268435456$"),
    ({"winners": 5}, r"^winners must be at most neurons = 4, not 5$"),
    ({"learners": 3}, r"^learners must be at most winners = 2, not 3$"),
    ({"fire_mode": "threshold"}, r"^winners must be 1 in threshold mode, not 2$"),
    ({"fire_mode": "threshold", "winners": 1, "learners": 5}, r"^learners must be at most neurons = 4, not 5$"),
    ({"amplitudes": 12}, r"^amplitudes must be a power of two, not 12$"),
    ({"threshold_bits": 8, "theta_base": 256}, r"^theta_base must fit threshold_bits = 8, not 256$"),
    ({"weight_bits": 5}, r"^weight_bits must be at least 6 for a linear table of 64 levels, not 5$"),
    ({"weights": (0,) * 63}, r"^weights must have 64 entries, not 63$"),
    ({"weights": (64,) + (0,) * 63}, r"^weights must hold integers 0 to 63, not 64$"),
    ({"weights": (0.5,) + (0,) * 63}, r"^weights must hold integers 0 to 63, not 0.5$"),
    ({"set_table": ((0,) * 64,) * 15}, r"^set_table must have amplitudes = 16 rows, not 15$"),
    ({"reset_table": ((0,) * 64,) * 15 + ((0,) * 63,)}, r"^reset_table must have 64 entries, not 63$"),
    ({"reset_table": ((-1,) * 64,) * 16}, r"^reset_table must hold integers 0 to 65535, not -1$"),
    ({"set_step": 0.9}, r"^set_step must be at most 0.2540 for 64 levels and fraction_bits = 12, not 0.9$"),
    ({"reset_step": 0.02, "fraction_bits": 16}, r"^reset_step must be at most 0.0159 for .* = 16, not 0.02$|^set_step"),
])
def test_contradictions_are_refused(fields, message):
    if message is None:
        vary(**fields)
        return
    with pytest.raises(DescriptionError, match=message):
        vary(**fields)


@pytest.mark.parametrize("document, message", [
    ({"tile": {"neuron": 4}}, r"^here: unknown field \[tile\] neuron; expected one of .*\bneurons\b"),
    ({"tiles": {"neurons": 4}}, r"^here: unknown field \[tiles\] neurons; sections are .*\btile\b"),
    ({"nam": "x"}, r"^here: unknown field nam; expected one of device, layers, name, schedule$"),
    ({"name": "x", "plane": {"height": 2, "width": 2}}, r"^here: missing \[grid\] patch_height, .*\[tile\] neurons$"),
    (BASE.to_dict() | {"fire": {"mode": "fast"}}, r"^here: fire_mode must be one of race, threshold, not 'fast'$"),
])
def test_bad_documents_are_refused(document, message):
    with pytest.raises(DescriptionError, match=message):
        Chip.from_dict(document, source="here")


def test_bad_files_and_names_are_refused(tmp_path):
    with pytest.raises(DescriptionError, match=r"absent\.toml: cannot be read: "):
        Chip.load(str(tmp_path / "absent.toml"))
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(DescriptionError, match=r"broken\.toml: not TOML: "):
        Chip.from_toml(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DescriptionError, match=r"binary\.toml: cannot be read: "):
        Chip.from_toml(tmp_path / "binary.toml")
    with pytest.raises(DescriptionError, match=r"^chip must be one of .*tiles.* or a TOML file, not 'tile'$"):
        Chip.load("tile")


def test_descriptions_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.neurons = 5


# reading and writing


@pytest.mark.parametrize("name", presets())
def test_presets_load_and_survive_a_round_trip(name, tmp_path):
    chip = Chip.load(name)
    assert chip.name == name
    path = tmp_path / "again.toml"
    path.write_text(chip.to_toml(), "utf-8")
    again = Chip.load(str(path))
    assert again == chip and again.digest == chip.digest and again.structure_digest == chip.structure_digest


DIGESTS = {
    "paper": ("71b705d426b0ce34", "fcbcbd2c2a6e7af5"),
    "paper-free": ("25da2d90e6b8f402", "178c66b796bdbb07"),
    "paper100": ("3b530225c05555a1", "f664c4eee6261db8"),
    "paper100-free": ("6362156d5c0e3ed5", "c88b8eedf23affb5"),
    "paper400": ("fafab90a36280ae5", "dca621b6c19aae0c"),
    "paper400-accumulate": ("fb35777e84fbe914", "1215860e39c12373"),
    "paper400-free": ("61c305daf5404633", "61128d0c8c3330dc"),
    "patches": ("a59e419baab49ef0", "55f1ab613dc37bc9"),
    "shared": ("dc0efabf3e44b1b5", "aa2ca2ebc2aeab92"),
    "shared-fashion": ("7d4fdb18d833bbdb", "0949ba738dee7a00"),
    "shared-large": ("19169e75bb89f76e", "c495f07b179cedf0"),
    "shared-noise": ("2dfe0885ad068fea", "668b12fa76ed195f"),
    "shared-saccades": ("c3793902477dcfc6", "cacdbb4e1d371f65"),
    "shared-small": ("ab54ae0c46d369c6", "34fd413b1578dea5"),
    "shared-tiny": ("0735c9e8da51ac4b", "898f98766132bbc1"),
    "shared-up5k": ("db7e454ecfa150a3", "2f3f98b916581bea"),
    "spiking": ("7c5d666f6b4785dd", "0a12c6340e1dcd71"),
    "tiles": ("53b1770fd9b59687", "6a95fcf459960214"),
    "tiles-accumulate": ("07ab6ab47f2aedb5", "681a5ccba92090c2"),
    "tiles-annealed": ("6f5b369c30aedbb9", "6a95fcf459960214"),
    "tiles-fashion": ("165505b301b010a3", "6a95fcf459960214"),
    "tiles-free": ("c43030977bbf232a", "3d33093c24c3e7b2"),
    "tiles-noisy": ("94463f0aae527417", "6a95fcf459960214"),
    "tiles-online": ("176cd1a467e1f393", "6a95fcf459960214"),
    "tiles-written": ("dd32c78bddac7f72", "6a95fcf459960214"),
    "tiles128": ("2c81ec6e5c5c1fc9", "68697ede1d05d8b2"),
    "tiles200": ("1f2f6e99388d4b62", "9a469891ff22a123"),
    "tiles84": ("2d4feecb807fdf45", "b364d317f5548dec"),
    "tiny": ("84aea1286634c872", "5a62bc42f1fd0023"),
    "up5k": ("a575941074f83eb1", "920b9373ac194a94"),
    "wide": ("e613270689424e02", "5da463141976ab6c"),
}
"""First digits of digest and structure digest: whoever changes one of these breaks saved chips and bitstreams."""


def test_presets_are_the_chips_they_were():
    assert {name: (chip.digest[:16], chip.structure_digest[:16]) for name in presets()
            for chip in [Chip.preset(name)]} == DIGESTS


@pytest.mark.parametrize("name", presets())
def test_what_is_written_looks_like_a_preset(name, tmp_path):
    chip = Chip.preset(name)
    written = tomllib.loads(chip.to_toml())
    preset = tomllib.loads((PRESETS / f"{name}.toml").read_text("utf-8"))
    long = {section for section, content in written.items() if len(f"{section} = {content}") > 120}
    tables = {line.strip("[]") for line in chip.to_toml().splitlines() if line.startswith("[")}
    assert tables <= long  # other sections are lines, as in presets
    for section, content in preset.items():
        for key, value in content.items() if isinstance(content, dict) else ():
            given = written.get(section, {}).get(key, getattr(Chip, f"{section}_{key}", getattr(Chip, key, None)))
            assert given == value, (section, key)
    (tmp_path / "again.toml").write_text(chip.to_toml(), "utf-8")
    assert Chip.from_toml(tmp_path / "again.toml").to_toml() == chip.to_toml()


def test_files_of_before_are_read():
    document = {"name": "old", "plane": {"plane_height": 8, "plane_width": 6}, "fire": {"fire_mode": "race"},
                "grid": {"patch_height": 3, "patch_width": 2, "stride": 2}, "tile": {"neurons": 4, "winners": 2},
                "read_out": {"read_out_set_step": 0.016}, "trace": {"trace_bits": 8}}
    assert dataclasses.replace(Chip.from_dict(document), name="base") == BASE


# bases


def in_files(folder, **documents):
    """Files of these names in a folder, each extending the named one."""
    for name, (base, document) in documents.items():
        (folder / f"{name}.toml").write_text(toml_text({"name": name, "extends": base} | document), "utf-8")
    return folder


def test_a_file_extends_a_preset_or_another_file(tmp_path):
    in_files(tmp_path, mine=("tiles", {"tile": {"neurons": 10}, "fire": {"fire_mode": "race"}}),
             ours=("mine.toml", {"random": {"seed": 3}}))
    mine, ours = (Chip.load(str(tmp_path / f"{name}.toml")) for name in ("mine", "ours"))
    assert mine == dataclasses.replace(Chip.preset("tiles"), name="mine", neurons=10)
    assert ours == dataclasses.replace(mine, name="ours", seed=3)


@pytest.mark.parametrize("base, message, hint", [
    ("tile", r"mine\.toml: extends must be one of paper, .* or a TOML file, not 'tile'$", "did you mean tiles?"),
    (3, r"mine\.toml: extends must be one of .*, not 3$", None),
    ("absent.toml", r"absent\.toml: cannot be read: ", None),
    ("mine.toml", r"mine\.toml: extends goes in a circle: .*mine\.toml → .*mine\.toml$", None),
    ("other.toml", r"other\.toml: extends goes in a circle: .*mine\.toml → .*other\.toml → .*mine\.toml$", None),
])
def test_bases_that_there_are_not_are_refused(base, message, hint, tmp_path):
    in_files(tmp_path, mine=(base, {}), other=("mine.toml", {}))
    with pytest.raises(DescriptionError, match=message) as caught:
        Chip.load(str(tmp_path / "mine.toml"))
    assert caught.value.hint == hint


def test_a_description_has_a_name_of_its_own_and_no_value_twice():
    with pytest.raises(DescriptionError, match="^here: missing name$"):
        Chip.from_dict({"extends": "tiles"}, source="here")
    with pytest.raises(DescriptionError, match="^here: plane_height is given twice$"):
        Chip.from_dict({"name": "x", "extends": "tiles", "plane": {"height": 8, "plane_height": 8}}, source="here")
    with pytest.raises(DescriptionError, match=r"^here: extends must be one of .*, not 'x\.toml'$"):
        Chip.from_dict({"name": "x", "extends": "x.toml"}, source="here")  # not a file: it names no others
    with pytest.raises(DescriptionError, match=r"^here: the description of a chip must be a table, not \[\]$"):
        Chip.from_dict([], source="here")


def test_a_preset_in_a_circle_is_refused(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    in_files(tmp_path / "presets", a=("b", {}), b=("a", {}))
    monkeypatch.setattr(Chip, "_folder", classmethod(lambda cls: tmp_path / "presets"))
    with pytest.raises(DescriptionError, match="^b: extends goes in a circle: a → b → a$"):
        Chip.preset("a")


@dataclasses.dataclass(frozen=True)
class Thing(Described):
    """A description of its own, as little as there can be."""

    WHAT = "thing"
    HOME = "ohmspike.chip"
    name: str = entry("", str, "name")
    box_size: float = entry("box", float, "size", default=1.0, low=0.0, high=2.0)
    box_lid: str = entry("box", str, "lid", default="on", options=("on", "off"))
    words: tuple = entry("box", tuple, "words", default=())
    paper: dict = entry("", tuple, "a table of its own", default=None, table=True)

    def __post_init__(self):
        self.check_fields()

    def to_dict(self):
        """All of it."""
        return self.tabled({spec.name: getattr(self, spec.name) for spec in self.specs()})


texts = st.text(st.characters(codec="utf-8"))
lists = st.lists(st.integers() | texts | st.lists(st.booleans()))


@given(texts, st.floats(0, 2), st.sampled_from(["on", "off"]), lists,
       st.recursive(st.dictionaries(texts, lists), lambda inner: st.dictionaries(texts, inner, max_size=3)))
def test_any_description_survives_its_text(name, size, lid, words, paper):
    thing = Thing(name, size, lid, words, paper)
    assert Thing.from_dict(tomllib.loads(thing.to_toml())) == thing


def test_tables_survive_a_round_trip():
    chip = vary(levels=3, amplitudes=2, weight_bits=4, weights=(0, 2, 15), set_table=((1, 2, 3), (4, 5, 6)),
                reset_table=((65535, 0, 0), (1, 1, 1)))
    again = Chip.from_dict(tomllib.loads(chip.to_toml()))
    assert again == chip
    assert again.weight_table.tolist() == [0, 2, 15] and again.plasticity_tables()[1].tolist()[0] == [65535, 0, 0]


def test_presets_are_listed():
    assert {"paper", "paper100", "paper400", "spiking", "tiles", "tiny", "up5k"} <= set(presets())


def test_short_and_full_keys_are_the_same():
    document = BASE.to_dict()
    document["plane"] = {"height": 8, "width": 6}
    assert Chip.from_dict(document) == BASE


# read-out and schedule


def test_a_read_out_is_structure_and_what_it_learns_is_not():
    assert vary(classes=3).structure_digest != BASE.structure_digest
    chip = vary(classes=3, winners=2, trace_bits=8)
    assert chip.read_out_rows == chip.tiles * 4 and chip.pulses_of_rank == [2, 1] and chip.trace_of_rank == [255, 128]
    same = vary(classes=3, read_out_set_step=0.05, margin=3)
    assert same.structure_digest == chip.structure_digest and same.digest != chip.digest


@pytest.mark.parametrize("fields, message", [
    ({"classes": 1}, r"^classes must be 0 \(no read-out\) or 2 to 255, not 1$"),
    ({"depression": "post"}, "^depression must be 'pre' unless fire_mode is threshold, not 'post'$"),
    ({"answer_steps": 9}, "^answer_steps must be 0 unless rate_steps is above 0, not 9$"),
    ({"vote": "neurons"}, "^vote must be 'spikes' unless fire_mode is threshold, not 'neurons'$"),
    ({"classes": 2, "score_bits": 8, "margin": 256}, "^margin must fit score_bits = 8, not 256$"),
    ({"classes": 2, "read_out_set_step": 1.0}, "^read_out_set_step must be at most 0.2540 for 64 levels"),
    ({"fire_mode": "threshold", "winners": 1, "classes": 2,
      "schedule": (Phase(learn=False, teach=True, on_host=True),)},
     "^schedule may teach on the host in a chip that races, not in one that fires at a threshold$"),
    ({"schedule": ()}, r"^schedule must hold one phase or more, not \(\)$"),
    ({"schedule": ({},)}, "^schedule must hold one phase or more"),
    ({"schedule": (Phase(teach=True),)}, "^schedule may not teach a chip of no classes$"),
])
def test_bad_read_outs_and_schedules_are_refused(fields, message):
    with pytest.raises(DescriptionError, match=message):
        vary(**fields)


@pytest.mark.parametrize("fields, message", [
    ({"passes": 0}, "^passes of a phase must be int, 1 to 1000, not 0$"),
    ({"passes": True}, "^passes of a phase must be int, 1 to 1000, not True$"),
    ({"decay": math.nan}, "^decay of a phase must be float, 0.0001 to 100.0, not nan$"),
    ({"learn": 1}, "^learn of a phase must be bool, 0 to 1, not 1$"),
    ({"learn": False}, "^a phase must learn or teach$"),
    ({"teach": True, "on_host": True}, "^a phase on the host must teach and not learn$"),
    ({"on_host": True, "learn": False}, "^a phase must learn or teach$"),
])
def test_bad_phases_are_refused(fields, message):
    with pytest.raises(DescriptionError, match=message):
        Phase(**fields)


def test_unknown_fields_of_phases_are_refused():
    for schedule, message in (([{"pass": 1}], "unknown field pass; expected some of passes, learn"),
                              ([3], "a table is wanted, not 3"), ({"passes": 1}, "unknown field")):
        document = BASE.to_dict() | {"schedule": schedule}
        with pytest.raises(DescriptionError, match=message):
            Chip.from_dict(document, source="here")


# non-idealities in hardware

ALL_REGISTERS = [entry.name for entry in REGISTERS]


def test_nonidealities_are_no_part_of_a_chip_without_them():
    """Saved chips and bitstreams of before non-idealities were described keep their digests."""
    tiles = Chip.preset("tiles")
    assert tiles.digest.startswith("53b1770fd9b59687") and tiles.structure_digest.startswith("6a95fcf459960214")
    assert not {"noise_bits", "stuck_cells", "write_noise"} & set(tiles.to_dict()["cell"])
    assert IDENTITY_WORDS == identity_words(tiles) + _OPTIONAL and register_names(tiles) == ALL_REGISTERS[:5]
    assert not any(memory(name).rows(tiles) for name in ("stuck", "read_out_stuck"))


def test_nonidealities_are_structure_and_their_strength_is_not():
    noisy, masked = vary(noise_bits=12), vary(stuck_cells="masked")
    assert len({BASE.structure_digest, noisy.structure_digest, masked.structure_digest}) == 3
    loud = vary(noise_bits=12, write_noise=0.1)
    assert loud.structure_digest == noisy.structure_digest and loud.digest != noisy.digest
    assert loud.noise_register == round(0.1 * 63 * 4096 / 18.466) == 1397 and BASE.noise_register == 0
    assert identity_words(noisy)[-2:] == ["noise_bits", "stuck_cells"] and register_names(noisy) == ALL_REGISTERS[:6]
    assert identity_words(masked) == identity_words(noisy)
    assert register_names(masked) == register_names(BASE)
    assert (memory("stuck").rows(masked), memory("read_out_stuck").rows(masked)) == (masked.tiles * masked.rows, 0)
    assert memory("read_out_stuck").rows(vary(stuck_cells="masked", classes=2)) == masked.read_out_rows
    for chip in (loud, masked):
        again = Chip.from_dict(tomllib.loads(chip.to_toml()))
        assert again == chip and again.digest == chip.digest


@pytest.mark.parametrize("fields, message", [
    ({"noise_bits": 4, "fraction_bits": 13, "set_step": 0.0, "reset_step": 0.0},
     "^fraction_bits must be at most 12 with noise_bits, not 13$"),
    ({"write_noise": 0.1}, "^noise_bits must be at least 11 for write_noise = 0.1, not 0$"),
    ({"write_noise": 1.0, "noise_bits": 13}, "^noise_bits must be at least 14 for write_noise = 1.0, not 13$"),
    ({"stuck_cells": "some"}, "^stuck_cells must be one of none, masked, not 'some'$"),
])
def test_bad_nonidealities_are_refused(fields, message):
    with pytest.raises(DescriptionError, match=message):
        vary(**fields)


# accumulation


def test_accumulation_is_no_part_of_a_chip_without_it():
    assert not BASE.accumulates and not any("accumul" in name for name in counter_names(BASE))
    assert not any("accumulate" in name for section in BASE.to_dict().values() if isinstance(section, dict)
                   for name in section)
    assert [memory(name).rows(BASE) for name in ("accumulated", "read_out_accumulated")] == [0, 0]
    assert set(_OPTIONAL) == {spec.name for spec in Chip.specs() if spec.metadata["structure"]
                              and "optional" in spec.metadata}


def test_accumulation_is_structure_and_its_threshold_is_not():
    tiles = vary(classes=2, accumulate_bits=5, accumulate_threshold=8)
    both = dataclasses.replace(tiles, read_out_accumulate_bits=3, read_out_accumulate_threshold=3)
    assert len({chip.structure_digest for chip in (vary(classes=2), tiles, both)}) == 3
    later = dataclasses.replace(tiles, accumulate_threshold=15)
    assert later.structure_digest == tiles.structure_digest and later.digest != tiles.digest
    assert identity_words(both) == [*identity_words(tiles), "read_out_accumulate_bits"]
    assert identity_words(both)[-4:] == _OPTIONAL[:4]
    assert counter_names(both)[-3:] == ["accumulations", "read_out_accumulations", "read_out_pulses"]
    assert register_names(both)[-2:] == ["accumulate_threshold", "read_out_accumulate_threshold"]
    assert both.to_dict()["cell"]["accumulate_bits"] == 5 and both.to_dict()["read_out"]["accumulate_threshold"] == 3
    assert Chip.from_dict(tomllib.loads(both.to_toml())) == both


@pytest.mark.parametrize("fields, message", [
    ({"accumulate_bits": 1}, r"^accumulate_bits must be 0 \(none\) or 2 to 8, not 1$"),
    ({"accumulate_bits": 4}, "^accumulate_threshold must be 1 to 7 for accumulate_bits = 4, not 0$"),
    ({"accumulate_bits": 4, "accumulate_threshold": 8},
     "^accumulate_threshold must be 1 to 7 for accumulate_bits = 4, not 8$"),
    ({"accumulate_threshold": 1}, "^accumulate_threshold must be 0 to 0 for accumulate_bits = 0, not 1$"),
    ({"read_out_accumulate_bits": 4}, "^read_out_accumulate_bits must be 0 without a read-out, not 4$"),
])
def test_bad_accumulation_is_refused(fields, message):
    with pytest.raises(DescriptionError, match=message):
        vary(**fields)


def test_rates_of_accumulation_fall_by_the_threshold():
    chip = vary(accumulate_bits=5, accumulate_threshold=6)
    assert chip.accumulate_rates("", 1.0) == (1.0, 6) and chip.accumulate_rates("", 0.5) == (1.0, 12)
    assert chip.accumulate_rates("", 0.1) == (15 / 60, 15) and chip.accumulate_rates("", 100.0) == (1.0, 1)
    assert vary().accumulate_rates("", 0.5) == (0.5, 0)


# geometry and tables


def test_windows_are_centred_with_the_odd_line_at_the_end():
    # 8 lines, patch 3, stride 2: three windows over 7 lines, the last line left over
    assert (BASE.grid_height, BASE.grid_width, BASE.top, BASE.left) == (3, 3, 0, 0)
    assert BASE.row_lines[0].tolist() == [0, 1, 6, 7, 12, 13]
    assert BASE.row_lines[4].tolist() == [14, 15, 20, 21, 26, 27]
    wide = vary(plane_height=3, plane_width=9, patch_width=3, stride=4)
    assert (wide.tiles, wide.left) == (2, 1)
    assert wide.row_lines[1, :3].tolist() == [5, 6, 7]


def test_sizes_of_presets():
    tiles = Chip.preset("tiles")
    assert (tiles.lines, tiles.tiles, tiles.rows, tiles.synapses) == (784, 64, 49, 200_704)
    assert Chip.preset("up5k").synapses == 92_160
    assert Chip.preset("paper400").row_lines.tolist() == [list(range(784))]


def test_traces_decay_by_the_rounded_up_share():
    assert vary(trace_bits=4, trace_shift=1, amplitudes=4).trace_table.tolist() == [15, 7, 3, 1, 0]
    assert vary().trace_table[:4].tolist() == [255, 223, 195, 170]


def test_default_tables_follow_the_formula():
    set_table, reset_table = vary(set_step=0.13, set_bound=3.0, reset_step=0.15, reset_bound=3.5).plasticity_tables()
    assert set_table.shape == (16, 64) and set_table.dtype == np.uint16
    assert set_table[15, 0] == round(0.13 * 63 * 4096) and reset_table[15, 63] == round(0.15 * 63 * 4096)
    assert set_table[7, 63] == round(0.13 * 63 * 4096 * math.exp(-3) * 15 / 31)
    assert reset_table[0, 0] == round(0.15 * 63 * 4096 * math.exp(-3.5) / 31)


def test_annealing_scales_all_tables():
    given = vary(set_table=((1000,) * 64,) * 16)
    set_table, reset_table = given.plasticity_tables(0.5)
    assert (set_table == 500).all()
    assert abs(int(reset_table[15, 63]) - given.plasticity_tables()[1][15, 63] / 2) <= 1
    assert (given.plasticity_tables(1000.0)[0] == 65535).all()


# identity


def test_structure_is_what_decides_the_gates():
    assert "neurons" in Chip.structure_fields() and "seed" not in Chip.structure_fields()
    same = vary(seed=9, set_step=0.01, theta_step=3.0, name="other", schedule=(Phase(passes=3),))
    assert same.structure_digest == BASE.structure_digest and same.digest != BASE.digest
    assert vary(neurons=5).structure_digest != BASE.structure_digest
    assert vary(name="other").digest == BASE.digest


def test_phases_on_the_host_are_told_where_there_are_any():
    chip, hosted = (vary(classes=2, schedule=(Phase(), Phase(learn=False, teach=True, on_host=on_host)))
                    for on_host in (False, True))
    assert chip.digest != hosted.digest
    assert not any("on_host" in phase for phase in chip.to_dict()["schedule"])
    assert hosted.to_dict()["schedule"][1]["on_host"] is True and Chip.from_dict(hosted.to_dict()) == hosted


def test_a_fixed_weight_table_is_structure():
    weights = tuple(range(63, -1, -1))
    assert vary(weights=weights).structure_digest == BASE.structure_digest
    fixed = vary(weight_store="fixed")
    assert fixed.structure["weights"] == list(range(64))
    assert vary(weight_store="fixed", weights=weights).structure_digest != fixed.structure_digest


# a shared crossbar, channels, planes


SHARED = {"shared": True, "classes": 2}


def test_a_shared_crossbar_is_no_part_of_a_chip_without_it():
    assert not {"channels", "shared", "pool"} & set(BASE.structure)
    assert (BASE.windows, BASE.regions) == (BASE.tiles, BASE.tiles)
    assert not {"shared", "pool"} & set(BASE.to_dict()["grid"]) and "edges" not in BASE.to_dict()["code"]


def test_a_shared_crossbar_has_the_cells_of_a_tile_and_a_read_out_of_its_regions():
    chip = vary(pool=2, learn_share=100, **SHARED)
    assert (chip.tiles, chip.windows, chip.regions) == (1, BASE.tiles, 4)
    assert chip.synapses == chip.rows * chip.neurons and chip.read_out_synapses == 4 * chip.neurons * 2
    assert register_names(chip)[-1] == "learn_share" and memory("levels").rows(chip) == chip.rows
    assert identity_words(chip)[-3:] == ["channels", "shared", "pool"]
    assert chip.structure_digest != vary(classes=2).structure_digest != vary(**SHARED).structure_digest
    assert dataclasses.replace(chip, learn_share=1).structure_digest == chip.structure_digest
    again = Chip.from_dict(tomllib.loads(chip.to_toml()))
    assert again == chip and again.digest == chip.digest


LAYER = {"patch_height": 2, "patch_width": 1, "neurons": 6, "winners": 2, "theta_step": 5}


def test_a_second_layer_is_a_shared_crossbar_on_what_the_first_pooled():
    chip = vary(pool=2, layers=(Layer(**LAYER),), **SHARED)
    neurons = chip.neurons
    assert (chip.upper.channels, chip.upper.lines, chip.upper.rows) == (neurons, 4 * neurons, 2 * neurons)
    assert (chip.upper.windows, chip.read_out_rows, chip.layer_synapses) == (2, 6, 12 * chip.neurons)
    assert chip.structure_digest != vary(pool=2, **SHARED).structure_digest
    for document in (tomllib.loads(chip.to_toml()), json.loads(json.dumps(chip.to_dict()))):
        again = Chip.from_dict(document)
        assert again == chip and again.digest == chip.digest
    assert vary().upper is None and vary().last == vary() and "layers" not in BASE.to_dict()


@pytest.mark.parametrize("layers, message", [
    ([LAYER, LAYER], "^chip: layers must hold one layer at most, not 2$"),
    ([{**LAYER, "neurons": 0}], "^chip: layers: neurons must be 1 to 4096, not 0$"),
    ([{**LAYER, "patch_height": 3}], "^chip: layers: patch_height must be at most plane_height = 2, not 3$"),
    ([{**LAYER, "pool": 2}], "^chip: layers: pool must be at most 1, the windows from side to side, not 2$"),
    ([{**LAYER, "winner": 2}], "^chip: layers: unknown field winner; expected some of patch_height, "),
    ([{"neurons": 2}], "^chip: layers: missing patch_height, patch_width$"),
    ([3], "^chip: layers: a table is wanted, not 3; expected some of "),
    (3, "^chip: layers must be a list of tables, not 3$"),
])
def test_bad_second_layers_are_refused(layers, message):
    with pytest.raises(DescriptionError, match=message):
        Chip.from_dict({**vary(pool=2, **SHARED).to_dict(), "layers": layers})


def test_a_second_layer_needs_a_shared_crossbar():
    with pytest.raises(DescriptionError, match="^layers must be empty unless shared is true, not "):
        vary(layers=(Layer(**LAYER),))


def test_planes_of_lines_are_channels():
    chip = vary(channels=6, edges=(30,), thresholds=(20, 128))
    assert (chip.lines, chip.rows) == (6 * BASE.lines, 6 * BASE.rows)
    assert (chip.row_lines[:, BASE.rows:2 * BASE.rows] == BASE.row_lines + BASE.lines).all()
    again = Chip.from_dict(tomllib.loads(chip.to_toml()))
    assert again == chip and again.edges == (30,) and again.structure_digest == vary(channels=6).structure_digest


@pytest.mark.parametrize("fields, message", [
    ({"pool": 2}, "^pool must be 1 unless shared is true, not 2$"),
    ({"learn_share": 5}, "^learn_share must be 94 unless shared is true, not 5$"),
    ({"shared": 1}, "^shared must be of type bool, not 1$"),
    ({"shared": True, "fire_mode": "threshold", "winners": 1}, "^fire_mode must be race in a shared crossbar, not 't"),
    ({"shared": True, "winners": 2, "learners": 2}, "^learners must be 1 in a shared crossbar, not 2$"),
    ({"shared": True, "channels": 64, "plane_height": 8, "patch_height": 8, "plane_width": 9, "patch_width": 8,
      "stride": 1}, "^rows of a shared crossbar must be at most 4095, not 4096$"),
    ({"shared": True, "pool": 4}, "^pool must be at most 3, the windows from side to side, not 4$"),
    ({"shared": True, "neurons": 4096, "plane_height": 100, "plane_width": 100, "patch_height": 1,
      "patch_width": 1, "stride": 1, "pool": 5, "classes": 2},
     "^regions x neurons must be at most 65536 with a read-out, not 102400$"),
    ({"edges": (30, 255)}, r"^edges must be a list of integers 0 to 254, not \(30, 255\)$"),
    ({"thresholds": 30}, "^thresholds must be a list of integers 0 to 254, not 30$"),
    ({"edges": (30,)}, "^channels must be 4, four planes for every one of edges and one for every one of thresholds, "
                       "not 1$"),
    ({"thresholds": (30,), "latency_bins": 2}, "^latency_bins must be 1 with edges or thresholds, not 2$"),
])
def test_bad_shared_crossbars_are_refused(fields, message):
    with pytest.raises(DescriptionError, match=message):
        vary(**fields)
