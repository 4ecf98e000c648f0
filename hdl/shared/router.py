"""From a line of the plane to the rows of every tile that sees it."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .layout import Layout
from .logic import lookup

__all__ = ["Router"]


class _Axis:
    """Constant tables of one axis of the plane: which tiles see a coordinate, and where in them it lies."""

    def __init__(self, *, size, start, patch, stride, tiles, tile_step, row_step):
        self.count, self.tile, self.row = [], [], []
        for position in range(size):
            seen = [t for t in range(tiles) if 0 <= position - start - t * stride < patch]
            first = seen[0] if seen else 0
            self.count.append(len(seen))
            self.tile.append(first * tile_step if seen else 0)
            self.row.append((position - start - first * stride) * row_step if seen else 0)


class Router(wiring.Component):
    """Visit the row of every tile that sees a line.

    For each line on :py:`spikes` one visit per tile that sees it, tiles ascending, comes out on :py:`visits`.
    The tiles of a line form a rectangle of the grid. Inside it both the tile number and the address of the row are
    linear, so two counters walk it; only the corner is looked up (one constant table per axis).

    A line is split into plane coordinates without a division: its upper bits say where a run of lines begins (a
    constant table), its lower bits how far into the run it is, which is past the end of the plane's row twice at most.

    Timing
    ------
    Throughput
        One visit per clock, from one line to the next as well. A line that no tile sees costs one clock.
    Latency
        2 clocks from an accepted line to its first visit.
    Reset
        Drops what is under way.

    Parameters
    ----------
    layout : :class:`Layout`

    Members
    -------
    spikes : :py:`In(stream.Signature(line))`
        Lines, each below the number of lines.
    visits : :py:`Out(stream.Signature(StructLayout))`
        ``tile`` and ``address``, the address of the row's first word among the levels.
    idle : :py:`Out(1)`
        Nothing is under way.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        visit = data.StructLayout({"tile": layout.tile, "address": layout.level_address})
        super().__init__({
            "spikes": In(stream.Signature(layout.line)),
            "visits": Out(stream.Signature(visit)),
            "idle": Out(1),
        })

    def _axes(self):
        chip = self._layout.chip
        vertical = _Axis(size=chip.plane_height, start=chip.top, patch=chip.patch_height, stride=chip.stride,
                         tiles=chip.grid_height, tile_step=chip.grid_width, row_step=chip.patch_width)
        horizontal = _Axis(size=chip.plane_width, start=chip.left, patch=chip.patch_width, stride=chip.stride,
                           tiles=chip.grid_width, tile_step=1, row_step=1)
        return vertical, horizontal

    def elaborate(self, platform):
        m = Module()
        layout, chip = self._layout, self._layout.chip
        vertical, horizontal = self._axes()
        width = chip.plane_width
        low = ceil_log2(width)
        starts = range(0, chip.lines, 1 << low)
        columns_of_run = width + (1 << low) - 1

        # plane coordinates of the line that waits: x modulo the width, and y is row or the one or two after it
        waiting = Signal()
        row = Signal(range(chip.plane_height))
        x = Signal(range(columns_of_run))
        y = Signal(range(chip.plane_height))
        m.d.comb += y.eq(row + (x >= width) + (x >= 2 * width))
        run = self.spikes.payload[low:]
        first_row = lookup(m, run, [start // width for start in starts], name="row_of_run")
        first_x = lookup(m, run, [start % width for start in starts], name="x_of_run")

        # the rectangle under way: current tile, what is left to visit
        running = Signal()
        here = Signal(data.StructLayout({"tile": layout.tile, "address": layout.level_address}))
        columns = Signal(range(chip.grid_width + 1))
        columns_left = Signal.like(columns)
        rows_left = Signal(range(chip.grid_height + 1))

        tile_words = chip.rows * layout.words
        down = chip.grid_width * tile_words - chip.stride * chip.patch_width * layout.words
        right = tile_words - chip.stride * layout.words

        def back(shape, down, right, name):
            """From the last tile of a row of the rectangle to the first of the next, modulo the width."""
            steps = [down - (count - 1) * right for count in range(1, max(horizontal.count) + 1)]
            return lookup(m, columns, [0] + [step % (1 << shape.width) for step in steps], name=f"{name}_back")

        def table(axis, name):
            return along(axis, name, getattr(axis, name))

        def address_table(axis):
            values = [tile * tile_words + row * layout.words for tile, row in zip(axis.tile, axis.row, strict=True)]
            return along(axis, "address", values)

        def along(axis, name, values):
            if axis is vertical:
                return lookup(m, y, values, name=f"{name}_of_y")
            return lookup(m, x, [values[i % width] for i in range(columns_of_run)], name=f"{name}_of_x")

        taken = Signal()
        last = Signal()
        m.d.comb += [
            last.eq(self.visits.ready & (columns_left == 1) & (rows_left == 1)),
            taken.eq(waiting & (~running | last)),
            self.spikes.ready.eq(~waiting | taken),
            self.visits.valid.eq(running),
            self.visits.payload.eq(here),
            self.idle.eq(~waiting & ~running),
        ]
        with m.If(self.spikes.ready):
            m.d.sync += waiting.eq(self.spikes.valid)
            with m.If(self.spikes.valid):
                m.d.sync += [row.eq(first_row), x.eq(first_x + self.spikes.payload[:low])]

        # walk the rectangle
        with m.If(running & self.visits.ready):
            with m.If(columns_left != 1):
                m.d.sync += [
                    columns_left.eq(columns_left - 1),
                    here.tile.eq(here.tile + 1),
                    here.address.eq(here.address + right),
                ]
            with m.Elif(rows_left != 1):
                m.d.sync += [
                    columns_left.eq(columns),
                    rows_left.eq(rows_left - 1),
                    here.tile.eq(here.tile + back(layout.tile, chip.grid_width, 1, "tile")),
                    here.address.eq(here.address + back(layout.level_address, down, right, "address")),
                ]
            with m.Else():
                m.d.sync += running.eq(0)

        # start the next one
        tall, wide = table(vertical, "count"), table(horizontal, "count")
        first_tile = table(vertical, "tile") + table(horizontal, "tile")
        first_address = address_table(vertical) + address_table(horizontal)
        with m.If(taken):
            m.d.sync += [
                running.eq((tall != 0) & (wide != 0)),
                columns.eq(wide),
                columns_left.eq(wide),
                rows_left.eq(tall),
                here.tile.eq(first_tile),
                here.address.eq(first_address),
            ]
        return m
