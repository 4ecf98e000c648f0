"""Networks as NIR graphs (Pedersen et al., Nature Communications 2024): a free-running crossbar out, one layer in."""

import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ohmspike.chip import Chip, DescriptionError
from ohmspike.chip.state import ChipState
from ohmspike.host.coding.vote import Vote
from ohmspike.host.support.atomic import write_whole
from ohmspike.host.support.errors import UserError

__all__ = ["DIFFERENCES", "Adopted", "export_graph", "import_graph"]

DIFFERENCES = (
    "a neuron of the chip fires at V >= threshold; thresholds of a graph are half a unit lower, the same for integers",
    "when a neuron of the chip fires, all membranes return to 0, and one neuron fires in a step; in a graph each "
    "neuron is on its own, so both are equal up to the first spike, and beyond it where the reader resets all neurons "
    "at a spike (docs/exchange.md)",
    "membranes of the chip saturate at their width; learning and homeostasis are not in the graph")
"""How the graph of a chip differs from the chip."""

_WEIGHTED = ("Linear", "Affine")


@dataclass(frozen=True)
class Adopted:
    """A chip made of a graph.

    Parameters
    ----------
    chip : Chip
    state : ChipState
    unit : float
        Weight of the graph that one unit of weight stands for.
    worst, mean : float
        Error of the weights by quantisation, as a share of the largest.
    threshold_error : float
        Largest error of a threshold, as a share of it.
    vote : Vote, optional
        What the neurons stand for, if the graph says so as :func:`export_graph` does.
    """

    chip: Chip
    state: ChipState
    unit: float
    worst: float
    mean: float
    threshold_error: float
    vote: Vote | None = None


def export_graph(path: Path, chip: Chip, state: ChipState, vote: Vote | None = None) -> None:
    """Write a free-running crossbar as Input, Linear, IF, Output.

    Parameters
    ----------
    vote : Vote, optional
        What the neurons stand for, kept in the graph's metadata as ``vote``: float32 of shape (neurons, classes), the
        log-probability of every class when the neuron fires. Beside it are ``voters``, the ``vote`` of the chip.

    Raises
    ------
    UserError
        The chip is none that a graph can say, or the file cannot be written.
    """
    import nir

    if chip.fire_mode != "threshold":
        raise UserError(f"{chip.name} races: its neurons fire in an order that a falling reference finds, for which "
                        "NIR has no node",
                        hint="chips with fire.mode = \"threshold\", such as spiking, can be exported; --form npz "
                             "writes the conductances of any chip")
    if chip.tiles > 1:
        raise UserError(f"{chip.name} has {chip.tiles} tiles: a graph is written of one crossbar")
    if chip.min_spikes > 1:
        raise UserError(f"min_spikes must be at most 1 for a graph, not {chip.min_spikes}")
    weights = state.weight[state.levels[0]].T.astype(float)
    threshold = state.theta_base + state.theta[0].astype(float) - 0.5
    if threshold.min() < 0:
        raise UserError(f"thresholds must be above 0 for a graph, not 0 as that of neuron {int(threshold.argmin())}: "
                        "its neurons would fire without a spike")
    by_row = np.zeros((chip.neurons, chip.lines))
    by_row[:, chip.row_lines[0]] = weights
    graph = nir.NIRGraph(
        nodes={"input": nir.Input({"input": np.array([chip.lines])}), "crossbar": nir.Linear(by_row),
               "neurons": nir.IF(r=np.ones(chip.neurons), v_threshold=threshold, v_reset=np.zeros(chip.neurons)),
               "output": nir.Output({"output": np.array([chip.neurons])})},
        edges=[("input", "crossbar"), ("crossbar", "neurons"), ("neurons", "output")],
        metadata={"made_by": "ohmspike", "chip": chip.name, "digest": chip.digest,
                  "differences": "; ".join(DIFFERENCES),
                  **({} if vote is None else {"vote": vote.table[0], "voters": chip.vote})})
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    write_whole(path, lambda file: file.write(buffer.getvalue()), make_folder=True)


def _structure(path: Path) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Types of the nodes by name, and the edges: read without the rules of a version of NIR."""
    import h5py

    def text(value):
        return value.decode() if isinstance(value, bytes) else str(value)

    try:
        with h5py.File(path, "r") as file:
            nodes = {name: text(node["type"][()]) for name, node in file["node/nodes"].items()}
            edges = [(text(first), text(last)) for first, last in file["node/edges"][()]]
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: not a NIR graph", hint="a graph that nir.write wrote is expected") from None
    return nodes, edges


def _chain(path: Path, nodes: dict[str, str], edges: list[tuple[str, str]]) -> tuple[str, str, str]:
    """Names of input, weights and neurons of a graph of one layer; refuses any other, with node and reason."""
    def refuse(node, why):
        raise UserError(f"{path}: node {node!r} ({nodes[node]}): {why}",
                        hint="one layer can be imported: Input, Linear or Affine, IF, Output")

    for name, kind in nodes.items():
        if kind in ("LIF", "CubaLIF", "LI", "CubaLI"):
            refuse(name, "its membrane leaks, and a membrane of the chip does not")
        if kind.startswith("Conv"):
            refuse(name, "a convolution shares weights among places, and every cell of a crossbar is its own")
        if kind not in ("Input", "Output", "IF", *_WEIGHTED):
            refuse(name, "the chip has nothing like it")
    inputs = [name for name, kind in nodes.items() if kind == "Input"]
    followers: dict[str, list[str]] = {}
    for first, last in edges:
        followers.setdefault(first, []).append(last)
    if len(inputs) != 1:
        raise UserError(f"{path}: a graph must have one Input, not {len(inputs)}")
    chain = [inputs[0]]
    for wanted in (_WEIGHTED, ("IF",), ("Output",)):
        after = followers.get(chain[-1], [])
        if len(after) != 1:
            refuse(chain[-1], f"must lead to one node, not {len(after)}")
        if after[0] not in nodes or nodes[after[0]] not in wanted:
            refuse(after[0] if after[0] in nodes else chain[-1], f"{' or '.join(wanted)} is expected there")
        chain.append(after[0])
    others = [name for name in nodes if name not in chain]
    if others:
        refuse(others[0], "is not of the one layer")
    return chain[0], chain[1], chain[2]


def import_graph(path: Path, like: Chip) -> Adopted:
    """A free-running chip of a graph of one layer of integrate-and-fire neurons, its weights as levels.

    Parameters
    ----------
    like : Chip
        Cells, widths and neurons' mode of the chip; its plane and its number of neurons become those of the graph.

    Raises
    ------
    UserError
        The file is no graph of that kind; the message has the node and the reason.
    """
    source, layer, neurons = _chain(path, *_structure(path))
    import nir

    if like.fire_mode != "threshold":
        raise UserError(f"neurons of {like.name} race: name a chip with fire.mode = \"threshold\"",
                        hint="--chip spiking")
    try:
        graph = nir.read(path)
    except Exception as error:  # nir raises whatever it meets
        raise UserError(f"{path}: nir refuses it: {error}") from None
    nodes: dict[str, Any] = graph.nodes
    weights = np.asarray(nodes[layer].weight, float)
    unit = nodes[neurons]
    resistance, threshold = (np.broadcast_to(np.asarray(value, float).ravel(), len(weights)) for value in
                             (unit.r, unit.v_threshold))
    reset = np.zeros(1) if unit.v_reset is None else np.asarray(unit.v_reset, float)
    bias = np.asarray(getattr(nodes[layer], "bias", 0.0), float)
    for node, wrong, why in (
            (layer, weights.ndim != 2, f"weights must be a matrix, not of shape {weights.shape}"),
            (layer, bool(np.any(bias)), "a bias adds to a membrane without a spike, which no cell does"),
            (layer, bool(weights.size and weights.min() < 0),
             f"weights must be at least 0, as conductances are, not {weights.min() if weights.size else 0:g}"),
            (layer, not (weights.size and np.isfinite(weights).all() and weights.max() > 0),
             "weights must be finite and not all 0"),
            (neurons, bool((resistance <= 0).any()), "r must be above 0"),
            (neurons, bool((threshold <= 0).any()), "v_threshold must be above 0"),
            (neurons, bool(np.any(reset)), f"v_reset must be 0, not {reset.ravel()[0]:g}")):
        if wrong:
            raise UserError(f"{path}: node {node!r}: {why}")
    weights = weights * resistance[:, None]
    top = int(like.weight_table.max())
    scale = weights.max() / top
    table = like.weight_table.astype(float)
    levels = np.abs(weights[..., None] / scale - table).argmin(axis=-1)
    theta = np.maximum(1, np.rint(threshold / scale))
    plane = _plane(nodes[source], weights.shape[1])
    try:
        chip = dataclasses.replace(
            like, name=f"{like.name}-nir", plane_height=plane[0], plane_width=plane[1], patch_height=plane[0],
            patch_width=plane[1], stride=1, neurons=len(weights), winners=1, learners=min(like.learners, len(weights)),
            min_spikes=1, theta_base=int(theta.min()), vote=graph.metadata.get("voters", like.vote))
        state = ChipState.initial(chip)
        state.levels = np.ascontiguousarray(levels.T[None].astype(np.uint8))
        state.theta = (theta - theta.min()).astype(np.uint32)[None]
        state.validate(chip)
    except (DescriptionError, ValueError) as error:
        raise UserError(f"{path}: the chip cannot have it: {error}") from None
    missed = np.abs(table[levels] * scale - weights) / weights.max()
    return Adopted(chip, state, float(scale), float(missed.max()), float(missed.mean()),
                   float(np.abs(theta * scale / threshold - 1).max()), _vote(path, graph, chip))


def _vote(path, graph, chip):
    """The vote that an exported graph keeps in its metadata."""
    table = graph.metadata.get("vote")
    if table is None:
        return None
    table = np.asarray(table)
    if table.ndim != 2 or len(table) != chip.neurons or table.dtype != np.float32 or not np.isfinite(table).all():
        raise UserError(f"{path}: vote in the metadata must be finite float32 of shape ({chip.neurons}, classes), not "
                        f"{table.dtype} of {table.shape}")
    return Vote(table[None])


def _plane(node, lines):
    shape = [int(size) for size in np.ravel(node.input_type["input"]) if size > 1]
    return (shape[0], shape[1]) if len(shape) == 2 and shape[0] * shape[1] == lines else (1, lines)
