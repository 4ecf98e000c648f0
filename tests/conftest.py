"""For all tests: the garbage collector goes less often through designs in Amaranth, many objects that stay.

Elaborating ``tiny`` takes half the time so; a worker needs some 20 MB more.
"""

import gc

gc.set_threshold(100_000, 20, 100)
