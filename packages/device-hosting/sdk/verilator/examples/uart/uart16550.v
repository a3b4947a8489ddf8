// SPDX-License-Identifier: MIT
// Copyright (c) the retrap authors
//
// A 16550 UART, written from the register list of the PC16550D's datasheet (National Semiconductor, June 1995, "8.0
// Registers"), behind a Wishbone slave of 8 bits. Not there: 1.5 stop bits, DMA mode, the OUT2 gate of a PC's interrupt.
module uart16550 #(
    // Clock cycles in a sixteenth of a bit where the divisor is 1: 100 MHz / 54 / 16 is 115,741 baud.
    parameter [15:0] PRESCALE = 16'd54
) (
    input wire clk,
    input wire rst,
    // Wishbone
    input wire wb_cyc,
    input wire wb_stb,
    input wire wb_we,
    input wire [2:0] wb_adr,
    input wire [7:0] wb_dat_i,
    output reg [7:0] wb_dat_o,
    output reg wb_ack,
    // The line, and the modem's
    output wire txd,
    input wire rxd,
    output wire rts,
    output wire dtr,
    input wire cts,
    input wire dsr,
    input wire ri,
    input wire dcd,
    output wire irq,
    // For the simulation: whether a cycle would change nothing, and how many change no interrupt, as long as no input changes
    output wire idle,
    output wire [31:0] quiet
);
  // ---- Registers ----
  reg [3:0] ier;
  reg [7:0] lcr, scr;
  reg [4:0] mcr;
  reg [15:0] divisor;
  reg fifo_on;
  reg [1:0] trigger_code;
  wire dlab = lcr[7];
  wire loopback = mcr[4];

  reg [31:0] bit_cycles;  // cycles of a bit
  wire [3:0] data_bits = 4'd5 + {2'd0, lcr[1:0]};
  wire parity_on = lcr[3];
  // Bits of a frame: start, data, parity, stop.
  wire [3:0] frame_bits = 4'd2 + data_bits + {3'd0, parity_on} + {3'd0, lcr[2]};
  wire [7:0] data_mask = 8'hff >> (4'd8 - data_bits);
  function parity_of(input [7:0] data, input even, input stick);
    parity_of = stick ? ~even : ^data ^ ~even;
  endfunction

  wire access = wb_cyc & wb_stb & ~wb_ack;
  wire reads = access & ~wb_we;
  wire writes = access & wb_we;
  wire reads_rbr = reads & wb_adr == 3'd0 & ~dlab;
  wire reads_iir = reads & wb_adr == 3'd2;
  wire reads_lsr = reads & wb_adr == 3'd5;
  wire reads_msr = reads & wb_adr == 3'd6;
  wire writes_thr = writes & wb_adr == 3'd0 & ~dlab;
  wire writes_ier = writes & wb_adr == 3'd1 & ~dlab;
  wire writes_fcr = writes & wb_adr == 3'd2;
  wire fifo_flip = writes_fcr & (wb_dat_i[0] != fifo_on);
  wire clear_rx = writes_fcr & (wb_dat_i[1] | fifo_flip);
  wire clear_tx = writes_fcr & (wb_dat_i[2] | fifo_flip);

  // ---- Transmitter ----
  reg [7:0] tx_fifo[0:15];
  reg [3:0] tx_head;
  reg [4:0] tx_count;
  reg [11:0] tx_shift;
  reg [3:0] tx_bits;  // left to send, with the one on the line; 0: none
  reg [31:0] tx_wait;  // cycles left of this bit
  reg [31:0] tx_left;  // and of the frame
  reg [31:0] tx_bit_cycles;  // that the frame began with
  wire thr_empty = tx_count == 0;
  wire tx_active = tx_bits != 0;
  wire tx_ends = tx_active & tx_left == 1;
  wire tx_loads = (~tx_active | tx_ends) & ~thr_empty;
  wire [7:0] tx_data = tx_fifo[tx_head] & data_mask;
  wire [11:0] tx_ones = 12'hfff << (4'd1 + data_bits);
  wire [11:0] tx_zero = parity_on & ~parity_of(tx_data, lcr[4], lcr[5]) ? 12'd1 << (4'd1 + data_bits) : 12'd0;
  wire [3:0] tx_tail = tx_head + tx_count[3:0];
  wire tx_line = ~(tx_active & ~tx_shift[0]) & ~lcr[6];
  assign txd = loopback | tx_line;

  always @(posedge clk)
    if (rst | clear_tx) begin
      tx_head <= 0;
      tx_count <= 0;
      if (rst) tx_bits <= 0;
    end else begin
      if (writes_thr & (fifo_on ? tx_count < 16 : 1'b1)) tx_fifo[fifo_on ? tx_tail : tx_head] <= wb_dat_i;
      // A write to a full register replaces what is there; a full FIFO drops it.
      tx_count <= tx_count - {4'd0, tx_loads} + {4'd0, writes_thr & (fifo_on ? tx_count < 16 : thr_empty | tx_loads)};
      if (tx_loads) tx_head <= fifo_on ? tx_head + 1 : tx_head;
    end

  always @(posedge clk)
    if (~rst) begin
      if (tx_loads & ~clear_tx) begin
        // Start bit, data, parity, and ones for as long as the frame is.
        tx_shift <= {3'd0, tx_data, 1'b0} | (tx_ones & ~tx_zero);
        tx_bits <= frame_bits;
        tx_wait <= bit_cycles;
        tx_bit_cycles <= bit_cycles;
        tx_left <= bit_cycles * {28'd0, frame_bits};
      end else if (tx_active) begin
        tx_left <= tx_left - 1;
        if (tx_wait == 1) begin
          tx_shift <= {1'b1, tx_shift[11:1]};
          tx_bits <= tx_bits - 1;
          tx_wait <= tx_bit_cycles;
        end else tx_wait <= tx_wait - 1;
      end
    end

  // ---- Receiver ----
  reg [10:0] rx_fifo[0:15];  // break, framing error, parity error, data
  reg [3:0] rx_head;
  reg [4:0] rx_count;
  reg [7:0] rx_data;
  reg [3:0] rx_at;  // 0: waits for a start bit; 1: its middle; then data, parity, stop
  reg [31:0] rx_wait;  // cycles to the next sample
  reg rx_parity, rx_ones;
  reg rx_armed;  // the line has been high since the last frame
  reg overrun;
  reg [31:0] timeout;  // cycles until characters have lain for four times a character's
  reg timed_out;
  wire rx_line = loopback ? tx_line : rxd;
  wire rx_active = rx_at != 0;
  wire rx_sample = rx_active & rx_wait == 1;
  wire rx_is_stop = rx_at == 4'd2 + data_bits + {3'd0, parity_on};
  wire rx_done = rx_sample & rx_is_stop;
  wire rx_break = ~rx_line & ~rx_ones;
  wire [10:0] rx_entry = {
    rx_break, ~rx_line, parity_on & rx_parity != parity_of(rx_data & data_mask, lcr[4], lcr[5]), rx_data & data_mask
  };
  wire [4:0] rx_room = fifo_on ? 5'd16 : 5'd1;
  wire rx_takes = reads_rbr & rx_count != 0;
  wire [3:0] rx_tail = rx_head + rx_count[3:0];
  wire [10:0] rx_first = rx_fifo[rx_head];

  // Errors are those of the character at the head, from when it comes there until LSR is read.
  reg [2:0] seen_errors;
  wire [2:0] errors = rx_count != 0 ? rx_first[10:8] & ~seen_errors : 3'd0;
  always @(posedge clk)
    if (rst) begin
      rx_at <= 0;
      rx_armed <= 1;
    end else begin
      if (~rx_active) begin
        rx_armed <= rx_armed | rx_line;
        if (rx_armed & ~rx_line) begin
          rx_at <= 1;
          rx_wait <= {1'b0, bit_cycles[31:1]};
          rx_ones <= 0;
          rx_data <= 0;
        end
      end else if (rx_sample) begin
        rx_wait <= bit_cycles;
        rx_ones <= rx_ones | rx_line;
        rx_at <= rx_at + 1;
        if (rx_at == 1) begin
          if (rx_line) rx_at <= 0;  // It was no start bit.
        end else if (rx_at < 4'd2 + data_bits) rx_data[rx_at[2:0]-3'd2] <= rx_line;
        else if (parity_on & ~rx_is_stop) rx_parity <= rx_line;
        else begin
          rx_at <= 0;
          rx_armed <= rx_line;
        end
      end else rx_wait <= rx_wait - 1;
    end

  always @(posedge clk)
    if (rst | clear_rx) begin
      rx_head <= 0;
      rx_count <= 0;
      overrun <= 0;
      seen_errors <= 0;
      timeout <= 0;
      timed_out <= 0;
    end else begin
      rx_count <= rx_count - {4'd0, rx_takes} + {4'd0, rx_done & (rx_count < rx_room | rx_takes)};
      if (rx_takes) begin
        rx_head <= rx_head + 1;
        seen_errors <= 0;
      end else if (reads_lsr) seen_errors <= seen_errors | errors;
      if (reads_lsr) overrun <= 0;
      if (rx_done) begin
        // A full register is overwritten; a full FIFO keeps what it has.
        if (rx_count < rx_room | rx_takes) rx_fifo[rx_tail] <= rx_entry;
        else begin
          overrun <= 1;
          if (~fifo_on) rx_fifo[rx_head] <= rx_entry;
        end
      end
      if (rx_takes | rx_done) begin
        timed_out <= 0;
        timeout <= bit_cycles * {26'd0, frame_bits, 2'd0};
      end else if (rx_count == 0) timeout <= 0;
      else if (timeout != 0) begin
        timeout <= timeout - 1;
        if (timeout == 1) timed_out <= fifo_on;
      end
    end

  // ---- Modem lines ----
  wire [3:0] modem = loopback ? {mcr[3], mcr[2], mcr[0], mcr[1]} : {dcd, ri, dsr, cts};
  reg [3:0] modem_before, modem_changed;
  assign dtr = mcr[0] & ~loopback;
  assign rts = mcr[1] & ~loopback;
  // RI counts as it goes away.
  wire [3:0] modem_edges = (modem ^ modem_before) & {1'b1, ~modem[2], 2'b11};
  always @(posedge clk)
    if (rst) begin
      modem_before <= {dcd, ri, dsr, cts};
      modem_changed <= 0;
    end else begin
      modem_before  <= modem;
      modem_changed <= (reads_msr ? 4'd0 : modem_changed) | modem_edges;
    end

  // ---- Interrupts, by priority ----
  reg thr_pending;  // THR has become empty, and neither has IIR told it nor THR been written
  wire [4:0] trigger = ~fifo_on ? 5'd1 : trigger_code == 0 ? 5'd1 : trigger_code == 1 ? 5'd4 : trigger_code == 2 ? 5'd8 : 5'd14;
  wire line_cause = ier[2] & (overrun | errors != 0);
  wire data_cause = ier[0] & rx_count >= trigger;
  wire timeout_cause = ier[0] & timed_out & rx_count != 0;
  wire thr_cause = ier[1] & thr_pending;
  wire modem_cause = ier[3] & modem_changed != 0;
  wire [3:0] cause = line_cause ? 4'h6 : data_cause ? 4'h4 : timeout_cause ? 4'hc : thr_cause ? 4'h2 : modem_cause ? 4'h0 : 4'h1;
  assign irq = ~cause[0];
  always @(posedge clk)
    if (rst) thr_pending <= 0;
    else if (writes_thr) thr_pending <= 0;
    else if (tx_loads & tx_count == 1 | writes_ier & wb_dat_i[1] & ~ier[1] & thr_empty | clear_tx & ~thr_empty)
      thr_pending <= 1;
    else if (reads_iir & cause == 4'h2) thr_pending <= 0;

  // ---- The bus ----
  wire [6:0] lsr = {thr_empty & ~tx_active, thr_empty, errors, overrun, rx_count != 0};
  reg divisor_changed;
  integer i;
  always @(posedge clk)
    if (rst) begin
      wb_ack <= 0;
      ier <= 0;
      lcr <= 0;
      mcr <= 0;
      scr <= 0;
      divisor <= 16'd1;
      fifo_on <= 0;
      trigger_code <= 0;
      divisor_changed <= 0;
      bit_cycles <= {12'd0, PRESCALE, 4'd0};
    end else begin
      wb_ack <= access;
      divisor_changed <= writes & dlab & wb_adr[2:1] == 0;
      if (divisor_changed) bit_cycles <= {12'd0, PRESCALE, 4'd0} * {16'd0, divisor == 0 ? 16'd1 : divisor};
      if (writes)
        case (wb_adr)
          3'd0: if (dlab) divisor[7:0] <= wb_dat_i;
          3'd1: if (dlab) divisor[15:8] <= wb_dat_i; else ier <= wb_dat_i[3:0];
          3'd2: begin
            fifo_on <= wb_dat_i[0];
            if (wb_dat_i[0]) trigger_code <= wb_dat_i[7:6];
          end
          3'd3: lcr <= wb_dat_i;
          3'd4: mcr <= wb_dat_i[4:0];
          3'd7: scr <= wb_dat_i;
          default: ;
        endcase
      if (reads)
        case (wb_adr)
          3'd0: wb_dat_o <= dlab ? divisor[7:0] : rx_first[7:0];
          3'd1: wb_dat_o <= dlab ? divisor[15:8] : {4'd0, ier};
          3'd2: wb_dat_o <= {fifo_on, fifo_on, 2'd0, cause};
          3'd3: wb_dat_o <= lcr;
          3'd4: wb_dat_o <= {3'd0, mcr};
          3'd5: begin
            wb_dat_o <= {1'b0, lsr};
            for (i = 0; i < 16; i = i + 1)
              if (i[4:0] < rx_count & rx_fifo[rx_head+i[3:0]][10:8] != 0) wb_dat_o[7] <= fifo_on;
          end
          3'd6: wb_dat_o <= {modem, modem_changed};
          3'd7: wb_dat_o <= scr;
        endcase
    end

  // ---- Promises ----
  wire timing = timeout != 0;
  assign idle = ~tx_active & thr_empty & ~rx_active & rx_line == rx_armed & ~timing & ~divisor_changed & ~wb_ack & modem == modem_before;
  // Interrupts change as a character ends, or has lain for too long. A receiver that works is quiet until its next sample.
  wire [31:0] tx_quiet = tx_active ? tx_left - 1 : thr_empty ? 32'hffff_ffff : 32'd0;
  wire [31:0] rx_quiet = rx_active ? rx_wait - 1 : rx_line | ~rx_armed ? 32'hffff_ffff : 32'd0;
  wire [31:0] timeout_quiet = timing ? timeout - 1 : 32'hffff_ffff;
  wire [31:0] line_quiet = tx_quiet < rx_quiet ? tx_quiet : rx_quiet;
  assign quiet = modem != modem_before ? 32'd0 : line_quiet < timeout_quiet ? line_quiet : timeout_quiet;
endmodule
