"""Single-bit faults in the compiled RTL: what is restored, that nothing hangs, and that a campaign can fail."""

import json

import pytest

from ohmspike.hdl.top.chip import ChipTop
from ohmspike.host.commands import cli
from ohmspike.host.integrity.faults import CLASSES, FAULTS_CHIP, Campaign, FaultReport, Outcome, class_of
from ohmspike.host.support.errors import UserError
from ohmspike.sim.rtl.build import faults_rtl
from ohmspike.sim.rtl.compiled import FaultSite

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
        assert row["undetected"] == 0 or row["class"] not in RESTORED, row
    wrong = [outcome for outcomes in campaign.report.outcomes.values() for outcome in outcomes
             if outcome.reset or not outcome.exact]
    assert not wrong, wrong
    verdicts = {outcome.verdict for outcomes in campaign.report.outcomes.values() for outcome in outcomes}
    assert verdicts >= {"masked", "detected_by_link", "detected_by_scrub"}


@pytest.mark.slow
def test_a_wide_register_is_not_taken_for_an_fsm(power_up):
    campaign = Campaign(FAULTS_CHIP, power_up, seed=11)
    assert len(list(campaign.codes())) < 200
    left = {site.name for site in campaign.sites if site.name.endswith("_state") and "FSM" not in class_of(site)}
    assert left == {"executor.core.sought_state"}, left  # a new FSM belongs into the pattern
    wide = next(site for site in campaign.sites if site.name == "executor.core.sought_state")
    campaign.classes["FSM of core and decoder"].append(wide)
    with pytest.raises(UserError, match="8 bits, not 36: executor.core.sought_state is none"):
        list(campaign.codes())


@pytest.mark.slow
def test_a_flip_is_where_and_when_it_is_asked_for(power_up):
    with power_up() as rtl:
        site = next(site for site in rtl.sites if site.name == "link.bad_frames")
        rtl.flip(site, 0, 9, after=5)
        rtl.run(20)
        assert class_of(site) == "other flip-flops of the link" and site.bits == 16
        with pytest.raises(ValueError, match="there must be such a bit"):
            rtl.flip(site, 0, 16)


class Unwatched(ChipTop):
    """A planted bug: the watchdog comes too late for anybody."""

    def __init__(self, layout, **options):
        super().__init__(layout, **options, watchdog=1 << 40)


@pytest.mark.slow
def test_without_a_watchdog_a_campaign_says_so():
    campaign = Campaign(FAULTS_CHIP, faults_rtl(FAULTS_CHIP, quick=True, top=Unwatched), seed=11)
    site = next(site for site in campaign.sites if site.name == "executor.core.visit_state")
    (outcome,) = campaign.run("codes", [(site, 0, 0b111, 300)])
    assert outcome.complaint and outcome.reset


def test_every_class_is_distinguished_from_the_others():
    names = {"executor.core.levels": "levels", "executor.core.read_out.cells": "levels of the read-out",
             "executor.core.event_state": "FSM of core and decoder", "executor.core.tile_states": "tile states",
             "executor.core.read_out.weights_2.table": "weight tables of lanes and classes",
             "executor.core.counters.totals": "counters", "executor.core.tile": "other flip-flops of core and decoder",
             "link.transmitter.fsm_state": "FSM of the link", "link.replies.slots.memory": "buffers of the link",
             "link.expected": "other flip-flops of the link", "halting": "other flip-flops of the link"}
    assert {name: class_of(FaultSite(name, 1, 8)) for name in names} == names


@pytest.mark.parametrize("outcome, verdict", [
    ({}, "masked"), ({"complaint": "hung", "corrupted": 3}, "detected_by_link"),
    ({"corrupted": 1, "wrong": True}, "detected_by_scrub"),
    ({"wrong": True}, "undetected"), ({"exact": False}, "undetected")])
def test_verdicts(outcome, verdict):
    assert Outcome("site", 0, 1, 2, **outcome).verdict == verdict


def test_the_table_adds_up():
    report = FaultReport("chip", 1, True, {"a": 10, "b": 4}, {
        "a": [Outcome("a", 0, 1, 2), Outcome("a", 0, 1, 2, complaint="x", reset=True)],
        "b": [Outcome("b", 0, 1, 2, wrong=True, exact=False)]})
    assert report.markdown().splitlines()[-1] == "| all | 14 | 3 | 1 | 1 | 0 | 1 | 1 | 2 |"
    assert json.loads(json.dumps(report.as_dict()))["classes"][0]["detected_by_link"] == 1


def test_the_command_knows_its_options(capsys):
    assert cli.run(["faults", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--flips" in out and "--no-learn" in out
