"""Checksums made on the chip, and what they lead to: damage found to the cell, and put right."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmspike import save
from ohmspike.chip import Chip
from ohmspike.chip.instructions import MEMORIES
from ohmspike.host.commands import cli
from ohmspike.host.integrity.scrub import Damage, scrub
from ohmspike.host.link.frames import LinkError
from ohmspike.host.link.session import LinkSession
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.state import ChipState
from support.reference_device import LossyPort, ReferenceDevice
from support.stimulus import random_samples, random_state, varied

CHIP = Chip(name="scrub", plane_height=5, plane_width=6, patch_height=3, patch_width=3, stride=1, neurons=4, winners=2,
            learners=1, min_spikes=1, levels=16, weight_bits=4, membrane_bits=8, threshold_bits=8, theta_step=3.0,
            amplitudes=2, set_step=0.3, reset_step=0.3, classes=3, score_bits=8, margin=16, read_out_set_step=0.3,
            read_out_reset_step=0.3)
FIXED = varied(CHIP, weight_store="fixed", classes=0, margin=0)


def target_of(chip, *, device=ReferenceDevice, **options):
    device = device(chip, **options)
    target = LinkTarget(chip, LinkSession(LossyPort(device, seed=0, rate=0.0), chip))
    return target, device.executor.oracle.state


def loaded(chip, seed=3, **options):
    """A target, the state behind it, and a copy of what was loaded."""
    target, behind = target_of(chip, **options)
    state = random_state(chip, np.random.default_rng(seed))
    target.load(state)
    return target, behind, state


@pytest.mark.parametrize("chip", [CHIP, FIXED], ids=["read-out", "fixed weights"])
def test_every_body_has_the_same_checksums(chip):
    link, _, state = loaded(chip)
    model = ModelTarget(chip)
    model.load(state)
    model.model.state.learn = state.learn
    for entry in MEMORIES:
        size = entry.rows(chip) * entry.columns(chip)
        if size and entry.name not in ("status", "identity"):
            ranges = [(0, size), (size // 3, size - size // 2), (size - 1, 1), (0, 0)]
            assert link.check(entry.name) == link.check(entry.name, ranges)[:1]
            assert link.check(entry.name, ranges) == model.check(entry.name, ranges), entry.name


def test_a_memory_larger_than_a_burst_is_checked_in_pieces(monkeypatch):
    link, _, state = loaded(CHIP)
    whole = link.check("levels")
    monkeypatch.setattr("ohmspike.host.link.session._BURST_CELLS", 7)
    assert link.check("levels") == whole


def test_a_sound_chip_takes_a_checksum_a_memory_and_nothing_is_written():
    target, _, state = loaded(CHIP)
    target.write_cells = None
    report = scrub(target, state, counters=False)
    assert report.sound and not report.damages and report.checks == len(report.cells) == 10


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_damage_is_found_to_the_cell_and_restored(data):
    target, behind, state = loaded(CHIP)
    expected = []
    for name in data.draw(st.lists(st.sampled_from(["levels", "theta", "random", "weight", "set", "read_out"]),
                                   min_size=1, unique=True)):
        array = getattr(behind, name)
        cells = array.reshape(-1, array.shape[-1]) if name not in ("random", "weight") else (
            array.reshape(-1, 1) if name == "random" else array.reshape(1, -1))
        row, column = (data.draw(st.integers(0, size - 1)) for size in cells.shape)
        before = int(cells[row, column])
        cells[row, column] ^= 1 << data.draw(st.integers(0, 3))
        expected.append(Damage(name, row, column, int(cells[row, column]), before))
    found = scrub(target, state)
    assert sorted(map(str, found.damages)) == sorted(map(str, expected)) and not found.sound
    restored = scrub(target, state, restore=True)
    assert restored.sound and restored.damages == found.damages
    assert scrub(target, state).damages == []
    state.counters[:] = behind.counters
    assert behind.differences(state) == ""


def test_registers_that_every_batch_sets_are_no_damage_but_others_are():
    target, behind, state = loaded(CHIP)
    target.present(random_samples(CHIP, np.random.default_rng(1), 1), learn=True, report=False)
    state = target.state()
    behind.theta_step ^= 4
    report = scrub(target, state, restore=True)
    assert [damage.column for damage in report.damages] == [1] and report.sound
    behind.learn = not behind.learn  # this session set it
    assert [damage.column for damage in scrub(target, state).damages] == [0]


def test_counters_are_restored_in_the_host():
    target, behind, state = loaded(CHIP)
    wanted = target.state()
    behind.counters[3] += np.uint64(5)
    report = scrub(target, wanted, restore=True, counters=True)
    assert [damage.memory for damage in report.damages] == ["counters"] and report.sound
    assert np.array_equal(target.counted(), wanted.counters)


def test_weights_fixed_in_gates_cannot_be_restored():
    target, behind, state = loaded(FIXED)
    behind.weight[3] += 1
    report = scrub(target, state, restore=True)
    assert not report.sound and [damage.memory for damage in report.remaining] == ["weight"]


class Stuck(ReferenceDevice):
    """A cell that does not take what is written."""

    def _judge(self, content, aborted):
        answer = super()._judge(content, aborted)
        self.executor.oracle.state.levels[1, 2, 3] = 5
        return answer


def test_what_does_not_take_is_told():
    target, _, state = loaded(CHIP, device=Stuck)
    state.levels[1, 2, 3] = 4
    report = scrub(target, state, restore=True)
    assert [str(damage) for damage in report.remaining] == ["levels[11, 3] is 5, expected 4"]


class Hung(ReferenceDevice):
    """A chip whose programs the watchdog breaks off, until its session is renewed."""

    hung = False

    def _run(self, seq, program):
        if self.hung:
            self.executor.run = lambda program: b"\x04"
        return super()._run(seq, program)

    def _hello(self, seq, nonce):
        self.hung = False
        self.executor.__dict__.pop("run", None)
        return super()._hello(seq, nonce)


def test_after_a_hang_a_new_session_goes_on_where_the_state_is_known():
    device = Hung(CHIP)
    target = LinkTarget(CHIP, LinkSession(LossyPort(device, seed=0, rate=0.0), CHIP))
    state = ChipState.initial(CHIP)
    target.load(state)
    device.hung = True
    with pytest.raises(LinkError, match="hung in the program .* watchdog broke it off$"):
        target.read("theta")
    target.recover()
    assert scrub(target, state, restore=True).sound


@pytest.fixture
def ohmspike(capsys):
    """Run a command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = cli.run([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_the_command_finds_and_restores(ohmspike, tmp_path, monkeypatch):
    target, behind, state = loaded(CHIP)
    save(tmp_path / "learned.npz", CHIP, target.state())
    behind.levels[2, 1, 1] ^= 1
    monkeypatch.setattr("ohmspike.host.targets.registry.open_target", lambda *_, **__: target)
    arguments = ["scrub", "--target", "rtl", "--state", tmp_path / "learned.npz"]
    code, out, _ = ohmspike(*arguments)
    assert code == 1 and "levels                    1 of 432 cells differ" in out and "--restore" in out
    code, out, _ = ohmspike(*arguments, "--restore", "--json")
    assert code == 0 and json.loads(out)["damaged"] == {"levels": 1} and json.loads(out)["sound"]
    code, out, _ = ohmspike(*arguments)
    assert code == 0 and "all as saved" in out


def test_the_command_leaves_the_target_as_it_is(ohmspike, tmp_path):
    save(tmp_path / "learned.npz", CHIP, ChipState.initial(CHIP))
    code, out, _ = ohmspike("scrub", "--target", "model", "--state", tmp_path / "learned.npz")
    assert code == 0 and "all as saved" in out
