"""Bits turned over in the compiled RTL: what is restored, that nothing hangs for good, and that a campaign can fail."""

import json

import pytest

from ohmspike.hdl.top.chip import ChipTop
from ohmspike.host.commands import cli
from ohmspike.host.integrity.faults import CLASSES, FAULTS_CHIP, Campaign, FaultReport, Outcome, class_of
from ohmspike.sim.rtl.build import faults_rtl
from ohmspike.sim.rtl.compiled import Place

RESTORED = ("levels", "levels of the read-out", "thresholds", "random states", "SET, RESET tables", "weight table",
            "control registers", "counters")


@pytest.fixture(scope="module")
def power_up():
    return faults_rtl(FAULTS_CHIP, quick=True)


@pytest.mark.slow
def test_a_small_campaign_leaves_no_chip_wrong(power_up):
    campaign = Campaign(FAULTS_CHIP, power_up, seed=11)
    for name in CLASSES:
        campaign.run(name, campaign.faults(name, 2))
    campaign.run("codes", [fault for index, fault in enumerate(campaign.codes()) if index % 12 == 3])
    for row in campaign.report.rows()[:-2]:
        assert row["bits"] and row["faults"] == 2, row
        assert row["silent"] == 0 or row["class"] not in RESTORED, row
    wrong = [outcome for found in campaign.report.outcomes.values() for outcome in found
             if outcome.reset or not outcome.exact]
    assert not wrong, wrong
    verdicts = {outcome.verdict for found in campaign.report.outcomes.values() for outcome in found}
    assert verdicts >= {"none", "told", "found"}


@pytest.mark.slow
def test_a_flip_is_where_and_when_it_is_asked_for(power_up):
    with power_up() as rtl:
        place = next(place for place in rtl.places if place.name == "link.bad_frames")
        rtl.flip(place, 0, 9, after=5)
        rtl.run(20)
        assert class_of(place) == "other flip-flops of the link" and place.bits == 16
        with pytest.raises(ValueError, match="there must be such a bit"):
            rtl.flip(place, 0, 16)


class Unwatched(ChipTop):
    """A planted bug: the watchdog comes too late for anybody."""

    def __init__(self, layout, **options):
        super().__init__(layout, **options, watchdog=1 << 40)


@pytest.mark.slow
def test_without_a_watchdog_a_campaign_says_so():
    campaign = Campaign(FAULTS_CHIP, faults_rtl(FAULTS_CHIP, quick=True, top=Unwatched), seed=11)
    place = next(place for place in campaign.places if place.name == "executor.core.visit_state")
    (found,) = campaign.run("codes", [(place, 0, 0b111, 300)])
    assert found.told and found.reset


def test_every_class_is_told_from_the_others():
    names = {"executor.core.levels": "levels", "executor.core.read_out.cells": "levels of the read-out",
             "executor.core.event_state": "FSM of core and decoder", "executor.core.tile_states": "tile states",
             "executor.core.read_out.weights_2.table": "weight tables of lanes and classes",
             "executor.core.counters.totals": "counters", "executor.core.tile": "other flip-flops of core and decoder",
             "link.transmitter.fsm_state": "FSM of the link", "link.replies.slots.memory": "buffers of the link",
             "link.expected": "other flip-flops of the link", "halting": "other flip-flops of the link"}
    assert {name: class_of(Place(name, 1, 8)) for name in names} == names


@pytest.mark.parametrize("outcome, verdict", [
    ({}, "none"), ({"told": "hung", "found": 3}, "told"), ({"found": 1, "wrong": True}, "found"),
    ({"wrong": True}, "silent"), ({"exact": False}, "silent")])
def test_verdicts(outcome, verdict):
    assert Outcome("place", 0, 1, 2, **outcome).verdict == verdict


def test_the_table_adds_up():
    report = FaultReport("chip", 1, True, {"a": 10, "b": 4}, {
        "a": [Outcome("a", 0, 1, 2), Outcome("a", 0, 1, 2, told="x", reset=True)],
        "b": [Outcome("b", 0, 1, 2, wrong=True, exact=False)]})
    assert report.markdown().splitlines()[-1] == "| all | 14 | 3 | 1 | 1 | 0 | 1 | 1 | 2 |"
    assert json.loads(json.dumps(report.as_dict()))["classes"][0]["told"] == 1


def test_the_command_knows_its_options(capsys):
    assert cli.run(["faults", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--flips" in out and "--no-learn" in out
