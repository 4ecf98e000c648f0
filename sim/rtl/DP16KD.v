// Block RAM of an ECP5 as yosys uses it: 2,048 bytes of 9 bits, two ports, no output registers; contents at power-up
// that are not given are undefined, so that nothing can lean on them. Written after the library guide of the device family.
// A byte that one port writes while the other reads it comes out wrong: the design may not look at it.

module DP16KD(
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
        DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
        DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
        DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
        DOB1, DOB0
);
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", GSR = "AUTO", CLKAMUX = "CLKA", CLKBMUX = "CLKB";
    parameter INITVAL_00 = 320'd0;
    parameter INITVAL_01 = 320'd0;
    parameter INITVAL_02 = 320'd0;
    parameter INITVAL_03 = 320'd0;
    parameter INITVAL_04 = 320'd0;
    parameter INITVAL_05 = 320'd0;
    parameter INITVAL_06 = 320'd0;
    parameter INITVAL_07 = 320'd0;
    parameter INITVAL_08 = 320'd0;
    parameter INITVAL_09 = 320'd0;
    parameter INITVAL_0A = 320'd0;
    parameter INITVAL_0B = 320'd0;
    parameter INITVAL_0C = 320'd0;
    parameter INITVAL_0D = 320'd0;
    parameter INITVAL_0E = 320'd0;
    parameter INITVAL_0F = 320'd0;
    parameter INITVAL_10 = 320'd0;
    parameter INITVAL_11 = 320'd0;
    parameter INITVAL_12 = 320'd0;
    parameter INITVAL_13 = 320'd0;
    parameter INITVAL_14 = 320'd0;
    parameter INITVAL_15 = 320'd0;
    parameter INITVAL_16 = 320'd0;
    parameter INITVAL_17 = 320'd0;
    parameter INITVAL_18 = 320'd0;
    parameter INITVAL_19 = 320'd0;
    parameter INITVAL_1A = 320'd0;
    parameter INITVAL_1B = 320'd0;
    parameter INITVAL_1C = 320'd0;
    parameter INITVAL_1D = 320'd0;
    parameter INITVAL_1E = 320'd0;
    parameter INITVAL_1F = 320'd0;
    parameter INITVAL_20 = 320'd0;
    parameter INITVAL_21 = 320'd0;
    parameter INITVAL_22 = 320'd0;
    parameter INITVAL_23 = 320'd0;
    parameter INITVAL_24 = 320'd0;
    parameter INITVAL_25 = 320'd0;
    parameter INITVAL_26 = 320'd0;
    parameter INITVAL_27 = 320'd0;
    parameter INITVAL_28 = 320'd0;
    parameter INITVAL_29 = 320'd0;
    parameter INITVAL_2A = 320'd0;
    parameter INITVAL_2B = 320'd0;
    parameter INITVAL_2C = 320'd0;
    parameter INITVAL_2D = 320'd0;
    parameter INITVAL_2E = 320'd0;
    parameter INITVAL_2F = 320'd0;
    parameter INITVAL_30 = 320'd0;
    parameter INITVAL_31 = 320'd0;
    parameter INITVAL_32 = 320'd0;
    parameter INITVAL_33 = 320'd0;
    parameter INITVAL_34 = 320'd0;
    parameter INITVAL_35 = 320'd0;
    parameter INITVAL_36 = 320'd0;
    parameter INITVAL_37 = 320'd0;
    parameter INITVAL_38 = 320'd0;
    parameter INITVAL_39 = 320'd0;
    parameter INITVAL_3A = 320'd0;
    parameter INITVAL_3B = 320'd0;
    parameter INITVAL_3C = 320'd0;
    parameter INITVAL_3D = 320'd0;
    parameter INITVAL_3E = 320'd0;
    parameter INITVAL_3F = 320'd0;

    reg [8:0] cells [0:2047];

    wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [17:0] in_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
        DIA3, DIA2, DIA1, DIA0};
    wire [17:0] in_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
        DIB3, DIB2, DIB1, DIB0};
    reg [17:0] out_a, out_b;
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
        DOA1, DOA0} = out_a;
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
        DOB1, DOB0} = out_b;

    wire write_a = CEA & WEA, write_b = CEB & WEB;

    // bytes 36-bit words are made of, and which of them a port writes
    function [3:0] written(input integer width, input [13:0] address, input enable);
        written = !enable ? 4'b0000 :
            width == 36 ? address[3:0] :
            width == 18 ? {2'b00, address[1:0]} << {address[4], 1'b0} :
            4'b0001 << address[4:3];
    endfunction

    wire [3:0] bytes_a = written(DATA_WIDTH_A, address_a, write_a);
    wire [3:0] bytes_b = written(DATA_WIDTH_B, address_b, write_b);
    wire meet = address_a[13:5] == address_b[13:5];

    // the 36-bit word of an address, a byte that the other port writes turned
    function [35:0] word(input [8:0] line, input [3:0] disturbed);
        integer byte_;
        for (byte_ = 0; byte_ < 4; byte_ = byte_ + 1)
            word[9 * byte_ +: 9] = cells[{line, byte_[1:0]}] ^ {9{disturbed[byte_]}};
    endfunction

    // what a port of some width sees of it; a word of 36 bits is split between the outputs by the caller
    function [17:0] seen(input integer width, input [35:0] data, input [4:0] place);
        reg [8:0] one;
        begin
            one = data[9 * place[4:3] +: 9];
            seen = width == 18 ? data[18 * place[4] +: 18] :
                width == 9 ? {9'd0, one} :
                width == 4 ? {14'd0, one[4 * place[2] +: 4]} :
                width == 2 ? {16'd0, one[2 * place[2:1] +: 2]} : {17'd0, one[place[2:0]]};
        end
    endfunction

    function [8:0] merged(input integer width, input [8:0] old, input [17:0] data, input [2:0] place);
        begin
            merged = old;
            if (width == 4) merged[4 * place[2] +: 4] = data[3:0];
            else if (width == 2) merged[2 * place[2:1] +: 2] = data[1:0];
            else merged[place] = data[0];
        end
    endfunction

    wire [35:0] word_a = word(address_a[13:5], meet ? bytes_b : 4'b0000);
    wire [35:0] word_b = word(address_b[13:5], meet ? bytes_a : 4'b0000);

    always @(posedge CLKA) begin
        if (DATA_WIDTH_A == 36) begin
            if (bytes_a[0]) cells[{address_a[13:5], 2'd0}] <= in_a[8:0];
            if (bytes_a[1]) cells[{address_a[13:5], 2'd1}] <= in_a[17:9];
            if (bytes_a[2]) cells[{address_a[13:5], 2'd2}] <= in_b[8:0];
            if (bytes_a[3]) cells[{address_a[13:5], 2'd3}] <= in_b[17:9];
        end else if (DATA_WIDTH_A == 18) begin
            if (write_a & address_a[0]) cells[{address_a[13:4], 1'b0}] <= in_a[8:0];
            if (write_a & address_a[1]) cells[{address_a[13:4], 1'b1}] <= in_a[17:9];
        end else if (DATA_WIDTH_A == 9) begin
            if (write_a) cells[address_a[13:3]] <= in_a[8:0];
        end else if (write_a)
            cells[address_a[13:3]] <= merged(DATA_WIDTH_A, cells[address_a[13:3]], in_a, address_a[2:0]);
    end

    always @(posedge CLKB) begin
        if (DATA_WIDTH_B == 36) begin
            if (bytes_b[0]) cells[{address_b[13:5], 2'd0}] <= in_a[8:0];
            if (bytes_b[1]) cells[{address_b[13:5], 2'd1}] <= in_a[17:9];
            if (bytes_b[2]) cells[{address_b[13:5], 2'd2}] <= in_b[8:0];
            if (bytes_b[3]) cells[{address_b[13:5], 2'd3}] <= in_b[17:9];
        end else if (DATA_WIDTH_B == 18) begin
            if (write_b & address_b[0]) cells[{address_b[13:4], 1'b0}] <= in_b[8:0];
            if (write_b & address_b[1]) cells[{address_b[13:4], 1'b1}] <= in_b[17:9];
        end else if (DATA_WIDTH_B == 9) begin
            if (write_b) cells[address_b[13:3]] <= in_b[8:0];
        end else if (write_b)
            cells[address_b[13:3]] <= merged(DATA_WIDTH_B, cells[address_b[13:3]], in_b, address_b[2:0]);
    end

    // reads; the only mode in which a port reads while it writes is the one that shows the old data
    always @(posedge CLKA)
        if (RSTA & RESETMODE != "SYNC") $fatal(1, "DP16KD: reset without a clock");
        else if (RSTA) out_a <= 18'd0;
        else if (CEA & (!WEA | WRITEMODE_A == "READBEFOREWRITE") & DATA_WIDTH_A != 36 & DATA_WIDTH_B != 36)
            out_a <= seen(DATA_WIDTH_A, word_a, address_a[4:0]);
        else if (DATA_WIDTH_B == 36 & CEB) out_a <= RSTB ? 18'd0 : word_b[17:0];
    always @(posedge CLKB)
        if (RSTB & RESETMODE != "SYNC") $fatal(1, "DP16KD: reset without a clock");
        else if (RSTB) out_b <= 18'd0;
        else if (CEB & (!WEB | WRITEMODE_B == "READBEFOREWRITE"))
            out_b <= DATA_WIDTH_B == 36 ? word_b[35:18] : seen(DATA_WIDTH_B, word_b, address_b[4:0]);

    // constant tables have initial contents; memories without any keep what they came up with
    wire [20479:0] initial_contents = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
        INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
        INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
        INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
        INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
        INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
        INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00};
    integer index;

    initial begin
        if (CLKAMUX != "CLKA" | CLKBMUX != "CLKB" | REGMODE_A != "NOREG" | REGMODE_B != "NOREG"
            | WRITEMODE_A == "WRITETHROUGH" | WRITEMODE_B == "WRITETHROUGH") $fatal(1, "DP16KD: mode without a model");
        if (initial_contents != 20480'd0)
            for (index = 0; index < 2048; index = index + 1)
                cells[index] = initial_contents[20 * (index / 2) + 9 * (index % 2) +: 9];
    end
endmodule
