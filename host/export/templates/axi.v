  // two AXI4-Streams, and registers on an AXI4-Lite bus
  reg [7:0] tdata = 8'h00;
  reg tvalid = 1'b0;
  wire tready, m_tvalid;
  wire [7:0] m_tdata;
  reg [5:0] araddr = 6'h00, awaddr = 6'h00;
  reg arvalid = 1'b0, awvalid = 1'b0;
  reg [31:0] wdata = 32'h0;
  wire arready, awready, wready, rvalid, bvalid;
  wire [31:0] rdata;
  wire [1:0] rresp, bresp;
  chip_axi dut (
    .aclk(clk), .aresetn(~rst), .s_axi_awaddr(awaddr), .s_axi_awvalid(awvalid), .s_axi_awready(awready),
    .s_axi_wdata(wdata), .s_axi_wstrb(4'hf), .s_axi_wvalid(awvalid), .s_axi_wready(wready), .s_axi_bresp(bresp),
    .s_axi_bvalid(bvalid), .s_axi_bready(1'b1), .s_axi_araddr(araddr), .s_axi_arvalid(arvalid),
    .s_axi_arready(arready), .s_axi_rdata(rdata), .s_axi_rresp(rresp), .s_axi_rvalid(rvalid), .s_axi_rready(1'b1),
    .s_axis_tdata(tdata), .s_axis_tvalid(tvalid), .s_axis_tready(tready), .m_axis_tdata(m_tdata),
    .m_axis_tvalid(m_tvalid), .m_axis_tready(1'b1));

  task send(input [7:0] data);
    begin
      tdata = data;
      tvalid = 1'b1;
      silence = 0;
      @(posedge clk);
      while (tready !== 1'b1) begin
        silence = silence + 1;
        if (silence > PATIENCE) fail("the chip takes no byte");
        @(posedge clk);
      end
      @(negedge clk);
      tvalid = 1'b0;
    end
  endtask

  always @(posedge clk)
    if (!rst) begin
      if (m_tvalid !== 1'b0 && m_tvalid !== 1'b1) fail("m_axis_tvalid is undefined");
      if (tready !== 1'b0 && tready !== 1'b1) fail("s_axis_tready is undefined");
      if (m_tvalid === 1'b1) begin
        heard[head % 8192] = m_tdata;
        head = head + 1;
      end
    end

  task idle;
    @(negedge clk);
  endtask

  // a register must read as expected
  task register(input [5:0] address, input [31:0] expected);
    begin
      araddr = address;
      arvalid = 1'b1;
      @(posedge clk);
      while (arready !== 1'b1) @(posedge clk);
      @(negedge clk);
      arvalid = 1'b0;
      while (rvalid !== 1'b1) @(negedge clk);
      if (rdata !== expected || rresp !== 2'b00) begin
        $display("register %h: expected %h, not %h", address, expected, rdata);
        fail("a wrong register");
      end
    end
  endtask

  task control(input [31:0] value);
    begin
      awaddr = 6'h10;
      wdata = value;
      awvalid = 1'b1;
      @(posedge clk);
      while (awready !== 1'b1 || wready !== 1'b1) @(posedge clk);
      @(negedge clk);
      awvalid = 1'b0;
      while (bvalid !== 1'b1) @(negedge clk);
      if (bresp !== 2'b00) fail("a write was refused");
    end
  endtask
