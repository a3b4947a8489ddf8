// SPDX-License-Identifier: MIT
// Copyright (c) the retrap authors
//
// A DMA engine: it copies guest memory in bursts over an AXI4 master of 64 bits, and is told what to copy by registers at an
// AXI4-Lite slave of 32 bits.
//
//   0x00 SOURCE, 0x04 upper half       guest-physical, a multiple of 8
//   0x08 DESTINATION, 0x0c upper half  guest-physical, a multiple of 8
//   0x10 LENGTH                        bytes, a multiple of 8
//   0x14 CONTROL                       bit 0: go, reads as 0; bit 1: interrupt as a copy ends
//   0x18 STATUS                        bit 0: busy; bit 1: done; bit 2: a burst failed; write 1 to clear bits 1 and 2
//   0x1c CYCLES                        clock cycles that the last copy took
module dma_engine (
    input wire clk,
    input wire rst,
    // AXI4-Lite slave
    input wire s_axi_awvalid,
    output wire s_axi_awready,
    input wire [7:0] s_axi_awaddr,
    input wire s_axi_wvalid,
    output wire s_axi_wready,
    input wire [31:0] s_axi_wdata,
    input wire [3:0] s_axi_wstrb,
    output reg s_axi_bvalid,
    input wire s_axi_bready,
    output wire [1:0] s_axi_bresp,
    input wire s_axi_arvalid,
    output wire s_axi_arready,
    input wire [7:0] s_axi_araddr,
    output reg s_axi_rvalid,
    input wire s_axi_rready,
    output reg [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    // AXI4 master
    output reg m_axi_awvalid,
    input wire m_axi_awready,
    output wire [63:0] m_axi_awaddr,
    output wire [7:0] m_axi_awlen,
    output reg m_axi_wvalid,
    input wire m_axi_wready,
    output wire [63:0] m_axi_wdata,
    output wire [7:0] m_axi_wstrb,
    output wire m_axi_wlast,
    input wire m_axi_bvalid,
    output wire m_axi_bready,
    input wire [1:0] m_axi_bresp,
    output reg m_axi_arvalid,
    input wire m_axi_arready,
    output wire [63:0] m_axi_araddr,
    output wire [7:0] m_axi_arlen,
    input wire m_axi_rvalid,
    output wire m_axi_rready,
    input wire [63:0] m_axi_rdata,
    input wire [1:0] m_axi_rresp,
    input wire m_axi_rlast,
    output wire irq,
    // For the simulation: whether a cycle would change nothing
    output wire idle
);
  // ---- Registers ----
  reg [63:0] source, destination;
  reg [31:0] length, cycles;
  reg interrupt_on, done, failed;
  wire busy;
  assign irq = done & interrupt_on;
  assign s_axi_bresp = 2'b00;
  assign s_axi_rresp = 2'b00;

  // A write is taken as both its address and its data are there.
  wire write = s_axi_awvalid & s_axi_wvalid & ~s_axi_bvalid;
  wire read = s_axi_arvalid & ~s_axi_rvalid;
  assign s_axi_awready = write;
  assign s_axi_wready = write;
  assign s_axi_arready = read;
  wire [31:0] mask = {{8{s_axi_wstrb[3]}}, {8{s_axi_wstrb[2]}}, {8{s_axi_wstrb[1]}}, {8{s_axi_wstrb[0]}}};
  wire [31:0] data = s_axi_wdata & mask;
  wire writes_control = write & s_axi_awaddr[7:2] == 6'h5;
  wire writes_status = write & s_axi_awaddr[7:2] == 6'h6;
  wire go = writes_control & data[0] & ~busy;

  always @(posedge clk)
    if (rst) begin
      s_axi_bvalid <= 0;
      s_axi_rvalid <= 0;
      interrupt_on <= 0;
      source <= 0;
      destination <= 0;
      length <= 0;
    end else begin
      s_axi_bvalid <= write | s_axi_bvalid & ~s_axi_bready;
      s_axi_rvalid <= read | s_axi_rvalid & ~s_axi_rready;
      // A copy that runs keeps what it was told.
      if (write & ~busy)
        case (s_axi_awaddr[7:2])
          6'h0: source[31:0] <= source[31:0] & ~mask | data;
          6'h1: source[63:32] <= source[63:32] & ~mask | data;
          6'h2: destination[31:0] <= destination[31:0] & ~mask | data;
          6'h3: destination[63:32] <= destination[63:32] & ~mask | data;
          6'h4: length <= length & ~mask | data;
          default: ;
        endcase
      if (writes_control & s_axi_wstrb[0]) interrupt_on <= data[1];
      if (read)
        case (s_axi_araddr[7:2])
          6'h0: s_axi_rdata <= source[31:0];
          6'h1: s_axi_rdata <= source[63:32];
          6'h2: s_axi_rdata <= destination[31:0];
          6'h3: s_axi_rdata <= destination[63:32];
          6'h4: s_axi_rdata <= length;
          6'h5: s_axi_rdata <= {30'd0, interrupt_on, 1'b0};
          6'h6: s_axi_rdata <= {29'd0, failed, done, busy};
          6'h7: s_axi_rdata <= cycles;
          default: s_axi_rdata <= 0;
        endcase
    end

  wire unused = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

  // ---- The copy: a burst into the buffer, and out again ----
  localparam [2:0] IDLE = 0, ASK = 1, FETCH = 2, SEND = 3, STORE = 4, ANSWER = 5;
  reg [2:0] state;
  reg [63:0] buffer[0:255];
  reg [60:0] from, to;  // in words of 8 bytes
  reg [28:0] left;
  reg [8:0] at, beats;
  assign busy = state != IDLE;

  // A burst has at most 256 beats, and stays within 4 KiB at both ends.
  wire [9:0] from_room = 10'd512 - {1'b0, from[8:0]};
  wire [9:0] to_room = 10'd512 - {1'b0, to[8:0]};
  wire [9:0] room = from_room < to_room ? from_room : to_room;
  wire [8:0] most = room < 10'd256 ? room[8:0] : 9'd256;
  wire [8:0] next_beats = left < {20'd0, most} ? left[8:0] : most;
  wire [8:0] last = beats - 1;
  wire fetched = m_axi_rvalid & m_axi_rready;
  wire stored = m_axi_wvalid & m_axi_wready;

  assign m_axi_araddr = {from, 3'd0};
  assign m_axi_awaddr = {to, 3'd0};
  assign m_axi_arlen = last[7:0];
  assign m_axi_awlen = last[7:0];
  assign m_axi_rready = state == FETCH;
  assign m_axi_wdata = buffer[at[7:0]];
  assign m_axi_wstrb = 8'hff;
  assign m_axi_wlast = at == last;
  assign m_axi_bready = state == ANSWER;
  assign idle = ~busy & ~s_axi_bvalid & ~s_axi_rvalid;

  always @(posedge clk)
    if (rst) begin
      state <= IDLE;
      done <= 0;
      failed <= 0;
      cycles <= 0;
      m_axi_arvalid <= 0;
      m_axi_awvalid <= 0;
      m_axi_wvalid <= 0;
    end else begin
      if (busy) cycles <= cycles + 1;
      if (writes_status & data[1]) done <= 0;
      if (writes_status & data[2]) failed <= 0;
      case (state)
        IDLE:
        if (go) begin
          state <= ASK;
          from <= source[63:3];
          to <= destination[63:3];
          left <= length[31:3];
          cycles <= 0;
        end
        ASK:
        if (left == 0) begin
          state <= IDLE;
          done <= 1;
        end else begin
          state <= FETCH;
          beats <= next_beats;
          at <= 0;
          m_axi_arvalid <= 1;
        end
        FETCH: begin
          if (m_axi_arready) m_axi_arvalid <= 0;
          if (fetched) begin
            buffer[at[7:0]] <= m_axi_rdata;
            at <= at + 1;
            if (m_axi_rresp != 0) failed <= 1;
            if (m_axi_rlast) begin
              state <= m_axi_rresp != 0 | failed ? IDLE : SEND;
              done <= m_axi_rresp != 0 | failed;
              at <= 0;
              m_axi_awvalid <= m_axi_rresp == 0 & ~failed;
            end
          end
        end
        SEND:
        if (m_axi_awready) begin
          state <= STORE;
          m_axi_awvalid <= 0;
          m_axi_wvalid <= 1;
        end
        STORE:
        if (stored) begin
          at <= at + 1;
          if (m_axi_wlast) begin
            state <= ANSWER;
            m_axi_wvalid <= 0;
          end
        end
        ANSWER:
        if (m_axi_bvalid) begin
          from <= from + {52'd0, beats};
          to <= to + {52'd0, beats};
          left <= left - {20'd0, beats};
          state <= m_axi_bresp != 0 ? IDLE : ASK;
          done <= m_axi_bresp != 0;
          failed <= m_axi_bresp != 0;
        end
        default: state <= IDLE;
      endcase
    end
endmodule
