"""NIR graphs run by the equations of their paper, in plain NumPy: nothing here knows how a chip is exported.

Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15, 8122 (2024), table 1 and methods:
Linear ``W I``; IF ``dv/dt = R I``, a spike where ``v > v_threshold``, after which ``v = v_reset``. A spike is a Dirac
pulse, so that in a step of time ``R W s`` is added to a membrane.
"""

import numpy as np


def _kind(node):
    return type(node).__name__


class Interpreter:
    """A graph without loops, step by step.

    Attributes
    ----------
    membranes : dict of float arrays
        Of every IF node by its name, after the last step.
    excess : dict of float arrays
        ``v - v_threshold`` in the last step, before the reset.
    """

    def __init__(self, graph):
        self.graph, self.order = graph, []
        waiting = dict(graph.nodes)
        while waiting:
            behind = {last for first, last in graph.edges if first in waiting}
            ready = [name for name in waiting if name not in behind]
            assert ready, "a graph with a loop"
            for name in ready:
                self.order.append((name, waiting.pop(name)))
        self.reset()

    def reset(self):
        """All membranes back to 0."""
        self.membranes = {name: np.zeros(len(node.v_threshold)) for name, node in self.order if _kind(node) == "IF"}
        self.excess = {}

    def step(self, frame):
        """What the Output gives for the spikes of one step of time."""
        values = {}
        for name, node in self.order:
            given = sum((values[first] for first, last in self.graph.edges if last == name), np.zeros(1))
            if _kind(node) == "Input":
                values[name] = np.asarray(frame, float)
            elif _kind(node) == "Linear":
                values[name] = node.weight @ given
            elif _kind(node) == "IF":
                membrane = self.membranes[name] + node.r * given
                fired = membrane > node.v_threshold
                self.excess[name] = membrane - node.v_threshold
                self.membranes[name] = np.where(fired, node.v_reset, membrane)
                values[name] = fired.astype(float)
            else:
                assert _kind(node) == "Output", node
                values[name] = given
        return values[name]
