// The link of the chip as two AXI4-Stream interfaces of 8 bits: s_axis into the chip, m_axis out of it.
// There is no TLAST: frames mark their own ends (link.md).
module chip_axis (
  input aclk,
  input aresetn,
  input [7:0] s_axis_tdata,
  input s_axis_tvalid,
  output s_axis_tready,
  output [7:0] m_axis_tdata,
  output m_axis_tvalid,
  input m_axis_tready
);
  chip chip (.clk(aclk), .rst(~aresetn), .rx_payload(s_axis_tdata), .rx_valid(s_axis_tvalid),
             .rx_ready(s_axis_tready), .tx_payload(m_axis_tdata), .tx_valid(m_axis_tvalid),
             .tx_ready(m_axis_tready));
endmodule
