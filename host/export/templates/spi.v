  // an SPI in mode 0, highest bit first; FLAG (7e) between frames means nothing, and several are as one
  reg sck = 1'b0, cs_n = 1'b1, mosi = 1'b0;
  wire miso, miso_oe, irq, error;
  chip dut (.clk(clk), .rst(rst), .sck(sck), .cs_n(cs_n), .mosi(mosi), .miso(miso), .miso_oe(miso_oe), .irq(irq),
            .error(error));

  reg [7:0] came, previous;
  initial previous = 8'h00;
  task transfer(input [7:0] data);
    integer bit_number;
    begin
      if (cs_n) begin
        cs_n = 1'b0;
        repeat (6) @(negedge clk);
      end
      for (bit_number = 7; bit_number >= 0; bit_number = bit_number - 1) begin
        mosi = data[bit_number];
        repeat (5) @(negedge clk);
        if (miso !== 1'b0 && miso !== 1'b1) fail("miso is undefined");
        if (miso_oe !== 1'b1) fail("miso is not driven");
        came[bit_number] = miso;
        sck = 1'b1;
        repeat (5) @(negedge clk);
        sck = 1'b0;
      end
      if (error !== 1'b0) fail("a byte was lost");
      if (came != 8'h7e || previous != 8'h7e) begin
        heard[head % 8192] = came;
        head = head + 1;
      end
      previous = came;
    end
  endtask

  task send(input [7:0] data);
    transfer(data);
  endtask

  // to hear, say FLAG; now and then the line rests, and half a byte is given up
  task idle;
    begin
      if (irq !== 1'b0 && irq !== 1'b1) fail("irq is undefined");
      transfer(8'h7e);
      if (head % 16 == 3) begin
        repeat (6) @(negedge clk);
        cs_n = 1'b1;
        repeat (8) @(negedge clk);
      end
    end
  endtask
