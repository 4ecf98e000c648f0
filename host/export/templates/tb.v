// Self-checking test bench: replays a session of $title and compares every byte that the chip sends.
// Runs in any simulator of Verilog-2001; see the Makefile beside it. Prints PASS, or FAIL and why.
`timescale 1ns / 1ps

module tb;
  localparam LENGTH = $length;    // bytes in both directions
  localparam PATIENCE = $patience;  // clocks without a byte after which the chip hangs
  localparam real CLOCK = $clock_ns;
$bit_parameter
  reg clk = 1'b0, rst = 1'b1;
  reg [$top:0] vectors [0:LENGTH-1];  // bit 8: expected of the chip, else sent to it$other_vectors
  reg [7:0] heard [0:8191];
  integer head = 0, tail = 0, at, silence, checked = 0;

  always #(CLOCK / 2) clk = ~clk;

$port
  task fail(input [8*40-1:0] why);
    begin
      $$display("FAIL at byte %0d of %0d: %0s", at, LENGTH, why);
      $$finish;
    end
  endtask

  initial begin
    $$readmemh("../sim/vectors.hex", vectors);
    repeat (64) @(negedge clk);
    rst = 1'b0;
$settle    for (at = 0; at < LENGTH; at = at + 1)
$more      if (!vectors[at][8]) send(vectors[at][7:0]);
      else begin
        silence = 0;
        while (head == tail) begin
          idle;
          silence = silence + 1;
          if (silence > PATIENCE) begin
            fail("the chip does not answer");
            silence = 0;
            head = head + 1;
          end
        end
        if (heard[tail % 8192] !== vectors[at][7:0]) begin
          $$display("expected %h, not %h", vectors[at][7:0], heard[tail % 8192]);
          fail("a wrong byte");
        end
        tail = tail + 1;
        checked = checked + 1;
      end
$last    $$display("PASS: %0d bytes sent, %0d bytes checked", LENGTH - checked, checked);
    $$finish;
  end
endmodule
