# Xilinx. Pins are the board's: set PACKAGE_PIN and IOSTANDARD of every port.
create_clock -name clk -period $clock_ns [get_ports clk]
# the reset is taken by registers of the clock's own domain; release it synchronously
set_false_path -from [get_ports rst]
