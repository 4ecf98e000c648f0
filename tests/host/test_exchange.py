"""Chips as NIR graphs and back, conductances for other tools; what cannot be said is refused with node and reason."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.state import ChipState
from ohmspike.host.coding.vote import Vote
from ohmspike.host.commands import cli
from ohmspike.host.exchange.graphs import export_graph, import_graph
from ohmspike.host.runs.learned import load, save
from ohmspike.host.support.errors import UserError
from ohmspike.sim.analog.device import Device
from support.bars import CHIP

nir = pytest.importorskip("nir", reason="needs the extra exchange")
pytest.importorskip("h5py", reason="needs the extra exchange")

FREE = dataclasses.replace(Chip.preset("spiking"), name="free", plane_height=6, plane_width=6, patch_height=6,
                           patch_width=6, neurons=5, learners=2, theta_base=400, theta_leak=0)


def learned(seed=1):
    """A state of the free-running chip with thresholds of its own."""
    rng = np.random.default_rng(seed)
    state = ChipState.initial(FREE)
    state.levels = rng.integers(0, FREE.levels, state.levels.shape).astype(np.uint8)
    state.theta = rng.integers(0, 200, state.theta.shape).astype(np.uint32)
    return state


def graph_of(*nodes, chain=True, **named):
    """A graph of nodes one after the other, between an Input and an Output."""
    names = {f"n{index}": node for index, node in enumerate(nodes)}
    return nir.NIRGraph.from_list(*names.values()) if chain else nir.NIRGraph(**named)


def test_what_was_exported_comes_back_without_loss(tmp_path):
    state = learned()
    state.levels[0, 0, 0] = FREE.levels - 1  # the unit of weight is known by the largest
    save(tmp_path / "chip.npz", FREE, state)
    for arguments in (["export", "chip.npz", "--form", "nir", "--out", "chip.nir"],
                      ["import", "chip.nir", "--out", "again.npz"]):
        assert cli.run(["exchange", *(str(tmp_path / word) if "." in word else word for word in arguments)]) == 0
    chip, again, _ = load(tmp_path / "again.npz")
    assert (again.levels == state.levels).all() and chip.neurons == FREE.neurons and chip.lines == FREE.lines
    wanted = FREE.theta_base + state.theta.astype(int)
    assert np.abs(chip.theta_base + again.theta.astype(int) - wanted).max() <= 1  # half a unit, rounded


def test_the_vote_of_the_neurons_travels_with_the_graph(tmp_path):
    vote = Vote.from_counts(np.random.default_rng(4).integers(0, 9, (1, FREE.neurons, 3)))
    save(tmp_path / "chip.npz", dataclasses.replace(FREE, vote="neurons"), learned(), vote)
    for arguments in (["export", "chip.npz", "--form", "nir", "--out", "chip.nir"],
                      ["import", "chip.nir", "--out", "again.npz"]):
        assert cli.run(["exchange", *(str(tmp_path / word) if "." in word else word for word in arguments)]) == 0
    chip, _, again = load(tmp_path / "again.npz")
    assert (again.table == vote.table).all() and chip.vote == "neurons"
    graph = nir.read(tmp_path / "chip.nir")
    graph.metadata["vote"] = graph.metadata["vote"][1:]
    nir.write(tmp_path / "chip.nir", graph)
    with pytest.raises(UserError, match=r"vote in the metadata must be finite float32 of shape \(5, classes\)"):
        import_graph(tmp_path / "chip.nir", Chip.preset("spiking"))
    graph.metadata["voters"] = "all"
    nir.write(tmp_path / "chip.nir", graph)
    with pytest.raises(UserError, match="vote must be one of spikes, neurons, not 'all'"):
        import_graph(tmp_path / "chip.nir", Chip.preset("spiking"))


def test_a_neuron_that_would_fire_without_a_spike_is_refused(tmp_path):
    state = learned()
    state.theta_base, state.theta[0, 3] = 0, 0
    with pytest.raises(UserError, match="thresholds must be above 0 for a graph, not 0 as that of neuron 3"):
        export_graph(tmp_path / "chip.nir", FREE, state)


def test_a_network_of_real_weights_is_quantised_and_its_loss_is_told(tmp_path, capsys):
    rng = np.random.default_rng(3)
    weights, thresholds = rng.random((7, 12)), rng.uniform(2, 3, 7)
    nir.write(tmp_path / "net.nir", graph_of(nir.Linear(weights), nir.IF(np.full(7, 2.0), thresholds, np.zeros(7))))
    assert cli.run(["exchange", "import", str(tmp_path / "net.nir"), "--out", str(tmp_path / "net.npz"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    chip, state, _ = load(tmp_path / "net.npz")
    rebuilt = state.weight[state.levels[0]].T * told["unit"]
    error = np.abs(rebuilt - 2 * weights) / (2 * weights.max())
    assert told["weight_error_worst"] == pytest.approx(error.max()) and error.max() <= 0.5 / (chip.levels - 1) + 1e-9
    assert np.allclose((chip.theta_base + state.theta[0]) * told["unit"], thresholds, rtol=0.02)


def lif():
    return nir.LIF(np.ones(2), np.ones(2), np.zeros(2), np.ones(2))


@pytest.mark.parametrize("graph, complaint", [
    (lambda: graph_of(nir.Linear(np.ones((2, 3))), lif()), r"node .*\(LIF\): its membrane leaks"),
    (lambda: graph_of(nir.Linear(-np.ones((2, 3))), nir.IF(np.ones(2), np.ones(2))), "weights must be at least 0"),
    (lambda: graph_of(nir.Affine(np.ones((2, 3)), np.ones(2)), nir.IF(np.ones(2), np.ones(2))), "a bias adds"),
    (lambda: graph_of(nir.Linear(np.ones((2, 3))), nir.IF(np.ones(2), np.ones(2), np.full(2, -1.0))),
     "v_reset must be 0, not -1"),
    (lambda: graph_of(nir.Linear(np.ones((2, 3))), nir.IF(np.ones(2), np.ones(2)), nir.Linear(np.ones((1, 2))),
                      nir.IF(np.ones(1), np.ones(1))), r"node .*\(Linear\): Output is expected there"),
    (lambda: nir.NIRGraph(
        nodes={"in": nir.Input({"input": np.array([2])}), "w": nir.Linear(np.ones((2, 2))),
               "n": nir.IF(np.ones(2), np.ones(2)), "back": nir.Linear(np.ones((2, 2))),
               "out": nir.Output({"output": np.array([2])})},
        edges=[("in", "w"), ("w", "n"), ("n", "out"), ("n", "back"), ("back", "n")]),
     r"node 'n' \(IF\): must lead to one node, not 2"),
    (lambda: graph_of(nir.Conv2d((4, 4), np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1)),
                      nir.IF(np.ones((1, 2, 2)), np.ones((1, 2, 2)))), r"\(Conv2d\): a convolution shares weights"),
])
def test_graphs_that_no_chip_can_be_are_refused_with_node_and_reason(tmp_path, graph, complaint):
    nir.write(tmp_path / "x.nir", graph())
    with pytest.raises(UserError, match=complaint):
        import_graph(tmp_path / "x.nir", Chip.preset("spiking"))


def test_files_that_are_no_graph_and_chips_that_race_are_refused(tmp_path, capsys):
    (tmp_path / "x.nir").write_bytes(b"not HDF5")
    assert cli.run(["exchange", "import", str(tmp_path / "x.nir"), "--out", str(tmp_path / "y.npz")]) == 1
    assert "not a NIR graph" in capsys.readouterr().err
    save(tmp_path / "bars.npz", CHIP, ChipState.initial(CHIP))
    assert cli.run(["exchange", "export", str(tmp_path / "bars.npz"), "--form", "nir", "--out",
                    str(tmp_path / "y.nir")]) == 1
    assert "small races" in capsys.readouterr().err


def test_conductances_are_those_of_the_device_at_every_level(tmp_path):
    state, device = ChipState.initial(CHIP), Device.preset("target65")
    save(tmp_path / "bars.npz", CHIP, state)
    for form, out in (("npz", "g.npz"), ("csv", "g")):
        assert cli.run(["exchange", "export", str(tmp_path / "bars.npz"), "--form", form, "--device", "target65",
                        "--out", str(tmp_path / out)]) == 0
    found = np.load(tmp_path / "g.npz")
    expected = device.g_min_s + (device.g_max_s - device.g_min_s) * state.levels / (CHIP.levels - 1)
    assert np.allclose(found["tiles"], expected) and found["weights"].shape == (CHIP.tiles, CHIP.neurons, CHIP.rows)
    assert found["weights"].min() >= 0 and found["weights"].max() <= 1
    with (tmp_path / "g" / "tile-002.csv").open() as file:
        assert np.allclose(np.array(list(csv.reader(file)), float), expected[2])
    assert json.loads((tmp_path / "g" / "about.json").read_text())["unit"] == "S"
