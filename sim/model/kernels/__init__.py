"""The compiled loops of the model: integers only, one kernel for any chip.

Three ways through the events give the same bits:

:mod:`.events`
    event by event, tiles inside, for whatever may come;
:mod:`.samples`
    tile by tile, samples inside, for whole latency-coded samples;
:mod:`.free`
    step by step, the lines of a step at once, for whole samples of a chip that fires at a threshold.

All take the rule of a pulse from :mod:`.pulses`. The non-ideal model runs the same loops on cells of another kind and
with another way to read; the exact model passes None in their place, for which numba compiles kernels without them.
Numbers in comments are clauses of docs/contract.md.
"""
