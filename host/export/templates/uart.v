  // the two wires of the serial line, 8 data bits, no parity, one stop bit
  reg rx = 1'b1;
  wire tx;
  wire activity, answer, error;
  chip dut (.clk(clk), .rst(rst), .rx(rx), .tx(tx), .activity(activity), .answer(answer), .error(error));

  task send(input [7:0] data);
    integer bit_number;
    begin
      rx = 1'b0;
      #(BIT);
      for (bit_number = 0; bit_number < 8; bit_number = bit_number + 1) begin
        rx = data[bit_number];
        #(BIT);
      end
      rx = 1'b1;
      #(BIT);
    end
  endtask

  reg [7:0] shifted;
  integer listened;
  initial begin
    @(negedge rst);
    forever begin
      @(negedge tx);
      #(BIT / 2);
      for (listened = 0; listened < 8; listened = listened + 1) begin
        #(BIT);
        shifted[listened] = tx;
      end
      #(BIT);
      if (tx !== 1'b1) fail("no stop bit, or an undefined one");
      heard[head % 8192] = shifted;
      head = head + 1;
    end
  end

  task idle;
    @(negedge clk);
  endtask
