// Carries bytes between the RTL of a chip and whoever started the simulator; knows nothing of frames.
// Standard input has a hexadecimal number a line: 0 to ff is a byte for the chip, 100 + n asks for clocks until n of
// them in a row brought no byte. Standard output has every byte of the chip as it comes, and a dot at the end of a wait.
`timescale 1ns / 1ps
module bench;
  localparam STDIN = 32'h8000_0000;
  reg clk = 0, rst = 1, rx_valid = 0, tx_ready = 0, taken = 0;
  reg [7:0] rx_payload = 0;
  wire rx_ready, tx_valid;
  wire [7:0] tx_payload;
  integer word = 0, quiet = 0, clocks = 0;

  chip dut (.clk(clk), .rst(rst), .rx_valid(rx_valid), .rx_payload(rx_payload), .rx_ready(rx_ready),
            .tx_valid(tx_valid), .tx_payload(tx_payload), .tx_ready(tx_ready));

  task tick;
    begin
      tx_ready = clocks % 7 != 0 && !rst;
      #4 taken = rx_valid && rx_ready;
      quiet = quiet + 1;
      if (tx_ready && tx_valid !== 1'b0) begin
        if (tx_valid === 1'b1) $write("%h\n", tx_payload); else $write("tx_valid is undefined\n");
        quiet = 0;
      end
      #1 clk = 1;
      #5 clk = 0;
      clocks = clocks + 1;
    end
  endtask

  initial begin
    repeat (64) tick;
    rst = 0;
    while ($fscanf(STDIN, "%h", word) == 1)
      if (word < 256) begin
        rx_payload = word;
        rx_valid = 1;
        taken = 0;
        while (!taken) tick;
        rx_valid = 0;
      end else begin
        quiet = 0;
        while (quiet < word - 256) tick;
        $write(".\n");
        $fflush;
      end
    $finish;
  end
endmodule
