  // the byte streams of the link: a byte moves in a clock in which valid and ready are both 1
  reg [7:0] rx_payload = 8'h00;
  reg rx_valid = 1'b0;
  wire rx_ready, tx_valid;
  wire [7:0] tx_payload;
  chip dut (.clk(clk), .rst(rst), .rx_payload(rx_payload), .rx_valid(rx_valid), .rx_ready(rx_ready),
            .tx_payload(tx_payload), .tx_valid(tx_valid), .tx_ready(1'b1));

  task send(input [7:0] data);
    begin
      rx_payload = data;
      rx_valid = 1'b1;
      silence = 0;
      @(posedge clk);
      while (rx_ready !== 1'b1) begin
        silence = silence + 1;
        if (silence > PATIENCE) fail("the chip takes no byte");
        @(posedge clk);
      end
      @(negedge clk);
      rx_valid = 1'b0;
    end
  endtask

  always @(posedge clk)
    if (!rst) begin
      if (tx_valid !== 1'b0 && tx_valid !== 1'b1) fail("tx_valid is undefined");
      if (rx_ready !== 1'b0 && rx_ready !== 1'b1) fail("rx_ready is undefined");
      if (tx_valid === 1'b1) begin
        heard[head % 8192] = tx_payload;
        head = head + 1;
      end
    end

  task idle;
    @(negedge clk);
  endtask
