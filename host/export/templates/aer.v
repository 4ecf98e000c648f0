  // the byte streams of the link, address events, and what samples output
  reg [7:0] rx_payload = 8'h00;
  reg rx_valid = 1'b0;
  wire rx_ready, tx_valid;
  wire [7:0] tx_payload;
  reg [11:0] aer_y = 12'h000, aer_x = 12'h000;
  reg aer_polarity = 1'b0, aer_valid = 1'b0, learn = 1'b0, labelled = 1'b0;
  reg [1:0] aer_mark = 2'b00;
  reg [7:0] label = 8'h00;
  wire aer_ready, out_valid, out_last, outside;
  wire [7:0] out_data;
  chip dut (
    .clk(clk), .rst(rst), .rx_payload(rx_payload), .rx_valid(rx_valid), .rx_ready(rx_ready), .tx_payload(tx_payload),
    .tx_valid(tx_valid), .tx_ready(1'b1), .aer_y(aer_y), .aer_x(aer_x), .aer_polarity(aer_polarity),
    .aer_mark(aer_mark), .aer_valid(aer_valid), .aer_ready(aer_ready), .learn(learn), .labelled(labelled),
    .label(label), .out_data(out_data), .out_last(out_last), .out_valid(out_valid), .out_ready(1'b1),
    .outside(outside));

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

  // a word: mark, polarity, y, x; of an END y is the label, bit 8 whether there is one, and x whether to learn
  task word(input [26:0] given);
    begin
      aer_mark = given[26:25];
      aer_polarity = given[24];
      aer_y = given[23:12];
      aer_x = given[11:0];
      if (aer_mark == 2'b10) begin
        labelled = aer_y[8];
        label = aer_y[7:0];
        learn = aer_x[0];
      end
      aer_valid = 1'b1;
      silence = 0;
      @(posedge clk);
      while (aer_ready !== 1'b1) begin
        silence = silence + 1;
        if (silence > PATIENCE) fail("the chip takes no event");
        @(posedge clk);
      end
      @(negedge clk);
      aer_valid = 1'b0;
    end
  endtask

  reg [8:0] said [0:8191];
  integer said_head = 0, said_tail = 0;
  always @(posedge clk)
    if (!rst) begin
      if (tx_valid !== 1'b0 && tx_valid !== 1'b1) fail("tx_valid is undefined");
      if (rx_ready !== 1'b0 && rx_ready !== 1'b1) fail("rx_ready is undefined");
      if (out_valid !== 1'b0 && out_valid !== 1'b1) fail("out_valid is undefined");
      if (aer_ready !== 1'b0 && aer_ready !== 1'b1) fail("aer_ready is undefined");
      if (tx_valid === 1'b1) begin
        heard[head % 8192] = tx_payload;
        head = head + 1;
      end
      if (out_valid === 1'b1) begin
        said[said_head % 8192] = {out_last, out_data};
        said_head = said_head + 1;
      end
    end

  task idle;
    @(negedge clk);
  endtask

  // a byte of a sample's output must come
  task hear(input [8:0] expected);
    begin
      silence = 0;
      while (said_head == said_tail) begin
        idle;
        silence = silence + 1;
        if (silence > PATIENCE) begin
          fail("the sample outputs nothing");
          silence = 0;
          said_head = said_head + 1;
        end
      end
      if (said[said_tail % 8192] !== expected) begin
        $display("output of a sample: expected %h, not %h", expected, said[said_tail % 8192]);
        fail("a wrong byte");
      end
      said_tail = said_tail + 1;
      checked = checked + 1;
    end
  endtask
