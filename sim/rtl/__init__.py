"""The RTL compiled and run: Verilator, gate level, cocotb."""
