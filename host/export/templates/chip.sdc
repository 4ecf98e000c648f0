# Quartus, Gowin, OpenROAD, OpenLane.
create_clock -name clk -period $clock_ns [get_ports clk]
set_false_path -from [get_ports rst]
