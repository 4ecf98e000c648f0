"""cocotb bench of the echo chip; run by test_cocotb_smoke.py on the emitted RTL."""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

INCREMENT = int(os.environ.get("ECHO_INCREMENT", "1"))


async def start(dut):
    """Clock, idle ports, two clocks of reset."""
    Clock(dut.clk, 10, unit="ns").start()
    dut.rx_valid.value = 0
    dut.rx_payload.value = 0
    dut.tx_ready.value = 0
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.5])
async def bytes_come_back_one_higher(dut, stall):
    """Every byte comes back in order, whatever the stalls."""
    await start(dut)
    draw = random.Random(1)
    sent = [draw.randrange(256) for _ in range(200)]
    waiting, came = list(sent), []
    while len(came) < len(sent):
        await FallingEdge(dut.clk)
        dut.rx_valid.value = bool(waiting)
        dut.rx_payload.value = waiting[0] if waiting else 0
        dut.tx_ready.value = draw.random() >= stall
        await RisingEdge(dut.clk)
        if dut.rx_valid.value and dut.rx_ready.value:
            waiting.pop(0)
        if dut.tx_valid.value and dut.tx_ready.value:
            came.append(dut.tx_payload.value.to_unsigned())
    assert came == [(byte + INCREMENT) & 255 for byte in sent], f"seed 1, stall {stall}"
