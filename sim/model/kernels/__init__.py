"""The compiled loops of the model: integers only, one kernel for any chip.

Two ways through the events give the same bits:

:mod:`.events`
    event by event, tiles inside, for whatever may come;
:mod:`.samples`
    tile by tile, samples inside, for whole latency-coded samples.

Both take the rule of a pulse from :mod:`.pulses`. The non-ideal model runs the same loops on cells of another kind and
with another way to read; the exact model passes None in their place, for which numba compiles kernels without them.
Numbers in comments are clauses of docs/contract.md.
"""
