"""The same network in other simulators, for the benchmark: Diehl & Cook (2015), in Brian2 and in BindsNET.

784 inputs, rate-coded; N excitatory neurons with adaptive thresholds that learn by STDP; N inhibitory ones, each of
which silences all excitatory neurons but its own. Both simulators integrate differential equations step after step;
this project carries out events. So a ratio to them is one of images learned per second at the same number of plastic
synapses, not of the same arithmetic.

A baseline runs in a process of its own: ``python -m ohmspike.host.studies.baselines NAME NEURONS IMAGES.npy SECONDS``.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

__all__ = ["BASELINES", "measure_baseline"]

_TIMEOUT_SECONDS = 300


def measure_baseline(name: str, neurons: int, images: np.ndarray, seconds: float = 4.0) -> dict:
    """Images/s that a baseline learns, on one thread.

    Parameters
    ----------
    name : str
        One of :data:`BASELINES`.
    images : uint8 array of shape (samples, 28, 28)
        As many are shown as fit into about ``seconds``, at least one.

    Returns
    -------
    dict
        ``images_per_s``, ``images``, ``seconds``, ``version``, ``how``; or ``error``, why it cannot be measured.
    """
    single = {key: "1" for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with tempfile.TemporaryDirectory(prefix="ohmspike-baseline-") as folder:
        path = os.path.join(folder, "images.npy")
        np.save(path, images)
        command = [sys.executable, "-m", "ohmspike.host.studies.baselines", name, str(neurons), path, str(seconds)]
        try:
            run = subprocess.run(command, cwd=folder, env=os.environ | single, capture_output=True, text=True,
                                 stdin=subprocess.DEVNULL, timeout=_TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"took more than {_TIMEOUT_SECONDS} s"}
    if run.returncode:
        return {"error": (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]}
    return json.loads(run.stdout.splitlines()[-1])


def _brian2(neurons, images, seconds):
    """The usual script: conductance-based neurons, 350 ms of an image and 150 ms of rest in steps of 0.5 ms.

    The weights are not normalised after an image: that is no part of a stand-alone run. It would cost time.
    """
    import brian2 as b

    b.set_device("cpp_standalone", build_on_run=False)
    b.defaultclock.dt = 0.5 * b.ms
    count = 10
    shown = images[np.arange(count) % len(images)].reshape(count, -1)
    slices = np.repeat(shown / 4.0, 10, axis=0)  # Hz in slices of 50 ms: seven of the image, three of rest
    slices[np.arange(len(slices)) % 10 >= 7] = 0.0
    inputs = b.PoissonGroup(784, "pixel_rate(t, i)",
                            namespace={"pixel_rate": b.TimedArray(slices * b.Hz, dt=50 * b.ms)})
    cell = """dv/dt = (rest - v + ge * (0 * mV - v) + gi * (low - v)) / tau : volt (unless refractory)
              dge/dt = -ge / (1 * ms) : 1
              dgi/dt = -gi / (2 * ms) : 1"""
    excitatory = b.NeuronGroup(
        neurons, cell + "\ndtheta/dt = -theta / (1e7 * ms) : volt", method="euler", refractory=5 * b.ms,
        threshold="v > theta - 72 * mV", reset="v = -65 * mV; theta += 0.05 * mV",
        namespace={"rest": -65 * b.mV, "low": -100 * b.mV, "tau": 100 * b.ms})
    inhibitory = b.NeuronGroup(
        neurons, cell, method="euler", refractory=2 * b.ms, threshold="v > -40 * mV", reset="v = -45 * mV",
        namespace={"rest": -60 * b.mV, "low": -85 * b.mV, "tau": 10 * b.ms})
    excitatory.v, excitatory.theta, inhibitory.v = -105 * b.mV, 20 * b.mV, -100 * b.mV
    plastic = b.Synapses(
        inputs, excitatory,
        """w : 1
           dtrace_in/dt = -trace_in / (20 * ms) : 1 (event-driven)
           dtrace_out/dt = -trace_out / (20 * ms) : 1 (event-driven)
           dtrace_slow/dt = -trace_slow / (40 * ms) : 1 (event-driven)""",
        on_pre="ge_post += w; trace_in = 1; w = clip(w - 0.0001 * trace_out, 0, 1)",
        on_post="w = clip(w + 0.01 * trace_in * trace_slow, 0, 1); trace_out = 1; trace_slow = 1")
    plastic.connect()
    plastic.w = "0.003 + 0.3 * rand()"
    excite = b.Synapses(excitatory, inhibitory, on_pre="ge_post += 10.4")
    excite.connect(j="i")
    silence = b.Synapses(inhibitory, excitatory, on_pre="gi_post += 17")
    silence.connect(condition="i != j")
    fired = b.SpikeMonitor(excitatory, record=False)
    network = b.Network(inputs, excitatory, inhibitory, plastic, excite, silence, fired)
    network.run(count * 500 * b.ms)
    b.device.build(directory="brian2", compile=True, run=False, with_output=False)
    shows, elapsed = 0, 0.0
    while elapsed < seconds:  # the same images again and again; without the time that the program takes to start
        b.device.run(with_output=False)
        elapsed += b.device._last_run_time
        shows += count
    if not fired.num_spikes:
        raise RuntimeError("no neuron fired")
    return shows, elapsed, "compiled to C++, 350 ms + 150 ms of rest, dt 0.5 ms"


def _bindsnet(neurons, images, seconds):
    """The usual example: its own model, Poisson spikes of 250 ms in steps of 1 ms."""
    import torch
    from bindsnet.encoding import poisson
    from bindsnet.models import DiehlAndCook2015

    torch.manual_seed(1)
    torch.set_num_threads(1)
    network = DiehlAndCook2015(n_inpt=784, n_neurons=neurons, exc=22.5, inh=120, dt=1.0, norm=78.4, nu=(1e-4, 1e-2),
                               theta_plus=0.05, inpt_shape=(1, 28, 28))

    def learn(image):
        rates = torch.from_numpy(image.astype(np.float32)).view(1, 28, 28) / 255 * 128  # Hz
        network.run(inputs={"X": poisson(rates, time=250, dt=1.0)}, time=250)
        network.reset_state_variables()

    learn(images[0])
    started, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - started < seconds:
        learn(images[count % len(images)])
        count += 1
    return count, time.perf_counter() - started, "DiehlAndCook2015, 250 ms, dt 1 ms"


BASELINES = {"Brian2": _brian2, "BindsNET": _bindsnet}
"""Baselines by the name of their package."""


def main(name: str, neurons: str, path: str, seconds: str) -> None:
    """Measure a baseline and print what came out as a line of JSON."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        sys.exit("not installed (pip install 'ohmspike[baselines]')")
    try:
        count, elapsed, how = BASELINES[name](int(neurons), np.load(path), float(seconds))
    except Exception as error:  # a baseline's own failure, whatever it is, is a result here
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.write(json.dumps({"images_per_s": count / elapsed, "images": count, "seconds": elapsed,
                                 "version": version, "how": how}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
