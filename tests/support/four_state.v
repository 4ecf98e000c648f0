// The bytes of a session into a chip and those of its replies out of it, in a simulator of four states.
`timescale 1ns / 1ps
module bench;
    reg clk = 0, rst = 1, rx_valid = 0, taken = 0;
    reg [7:0] rx_payload;
    wire rx_ready, tx_valid;
    wire [7:0] tx_payload;
    chip dut(.clk(clk), .rst(rst), .rx_payload(rx_payload), .rx_valid(rx_valid), .rx_ready(rx_ready),
             .tx_payload(tx_payload), .tx_valid(tx_valid), .tx_ready(1'b1));

    reg [31:0] script [0:`WORDS - 1];  // a byte, or with bit 31 how many bytes have come before the next one is sent
    reg [7:0] expected [0:`BYTES - 1];
    integer at = 0, come = 0, silent = 0;

    always #5 clk = ~clk;
    initial begin
        $readmemh("script.hex", script);
        $readmemh("expected.hex", expected);
        repeat (3) @(negedge clk);
        rst = 0;
    end

    task over(input integer kind);
        begin
            case (kind)
                0: $display("equal");
                1: $display("byte %0d is %h, expected %h", come, tx_payload, expected[come]);
                2: $display("tx_valid is %b, rx_ready is %b after byte %0d", tx_valid, rx_ready, come);
                3: $display("silent after byte %0d", come);
            endcase
            $finish;
        end
    endtask

    always @(posedge clk) taken <= rx_valid & rx_ready;
    always @(negedge clk) if (!rst) begin
        if ((^{tx_valid, rx_ready}) === 1'bx) over(2);
        silent = tx_valid ? 0 : silent + 1;
        if (tx_valid) begin
            if (tx_payload !== expected[come]) over(1);
            come = come + 1;
            if (come == `BYTES) over(0);
        end
        if (silent > 20000) over(3);
        if (rx_valid && taken) begin
            rx_valid = 0;
            at = at + 1;
        end
        if (!rx_valid && at < `WORDS) begin
            if (!script[at][31]) begin
                rx_payload = script[at][7:0];
                rx_valid = 1;
            end else if (come >= script[at][30:0]) at = at + 1;
        end
    end
endmodule
