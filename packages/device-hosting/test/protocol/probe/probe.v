// A design for tests of the bridge: a counter of cycles with an alarm, a word behind both buses, and single transfers of memory.
//
//   0x00 COUNT      cycles while awake
//   0x04 WORD       also the Wishbone's
//   0x08 ALARM      the interrupt comes as COUNT becomes this; a write takes the last one back
//   0x0c CONTROL    bit 0: awake
//   0x10 ADDRESS    of memory
//   0x14 TRANSFER   1: reads memory into WORD; 2: writes WORD to memory; reads as 0x100 while it lasts, else as the response
module probe (
    input wire clk,
    input wire rst_n,
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
    output reg [1:0] s_axi_rresp,
    input wire wb_cyc,
    input wire wb_stb,
    input wire wb_we,
    input wire [3:0] wb_adr,
    input wire [15:0] wb_dat_i,
    output reg [15:0] wb_dat_o,
    input wire [1:0] wb_sel,
    output reg wb_ack,
    output reg m_axi_awvalid,
    input wire m_axi_awready,
    output wire [31:0] m_axi_awaddr,
    output reg m_axi_wvalid,
    input wire m_axi_wready,
    output wire [31:0] m_axi_wdata,
    output wire [3:0] m_axi_wstrb,
    input wire m_axi_bvalid,
    output wire m_axi_bready,
    input wire [1:0] m_axi_bresp,
    output reg m_axi_arvalid,
    input wire m_axi_arready,
    output wire [31:0] m_axi_araddr,
    input wire m_axi_rvalid,
    output wire m_axi_rready,
    input wire [31:0] m_axi_rdata,
    input wire [1:0] m_axi_rresp,
    output reg irq,
    output wire idle,
    output wire [31:0] quiet
);
  reg [31:0] count, value, alarm, address;
  reg awake, reading, writing;
  reg [1:0] response;
  wire write = s_axi_awvalid & s_axi_wvalid & ~s_axi_bvalid;
  wire read = s_axi_arvalid & ~s_axi_rvalid;
  wire access = wb_cyc & wb_stb & ~wb_ack;
  wire [31:0] mask = {{8{s_axi_wstrb[3]}}, {8{s_axi_wstrb[2]}}, {8{s_axi_wstrb[1]}}, {8{s_axi_wstrb[0]}}};
  wire unused = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0], wb_adr[0]};
  assign s_axi_awready = write;
  assign s_axi_wready = write;
  assign s_axi_arready = read;
  assign s_axi_bresp = 0;
  assign m_axi_awaddr = address;
  assign m_axi_araddr = address;
  assign m_axi_wdata = value;
  assign m_axi_wstrb = 4'b0111;
  assign m_axi_bready = writing;
  assign m_axi_rready = reading;
  assign idle = ~awake & ~s_axi_bvalid & ~s_axi_rvalid & ~wb_ack;
  assign quiet = irq | ~awake ? 32'hffff_ffff : alarm - count - 1;

  always @(posedge clk or negedge rst_n)
    if (~rst_n) begin
      {count, value, alarm, address} <= 0;
      {awake, reading, writing, irq} <= 0;
      {s_axi_bvalid, s_axi_rvalid, wb_ack, m_axi_awvalid, m_axi_wvalid, m_axi_arvalid} <= 0;
    end else begin
      if (awake) count <= count + 1;
      if (awake & count + 1 == alarm) irq <= 1;
      s_axi_bvalid <= write | s_axi_bvalid & ~s_axi_bready;
      s_axi_rvalid <= read | s_axi_rvalid & ~s_axi_rready;
      if (write)
        case (s_axi_awaddr[7:2])
          6'h1: value <= value & ~mask | s_axi_wdata & mask;
          6'h2: begin
            alarm <= s_axi_wdata;
            irq <= 0;
          end
          6'h3: awake <= s_axi_wdata[0];
          6'h4: address <= s_axi_wdata;
          6'h5: begin
            reading <= s_axi_wdata[0];
            m_axi_arvalid <= s_axi_wdata[0];
            writing <= s_axi_wdata[1];
            m_axi_awvalid <= s_axi_wdata[1];
            m_axi_wvalid <= s_axi_wdata[1];
          end
          default: ;
        endcase
      if (read) begin
        // There is nothing behind the registers.
        s_axi_rresp <= s_axi_araddr[7:2] > 5 ? 2'b10 : 2'b00;
        case (s_axi_araddr[7:2])
          6'h0: s_axi_rdata <= count;
          6'h1: s_axi_rdata <= value;
          6'h2: s_axi_rdata <= alarm;
          6'h5: s_axi_rdata <= {23'd0, reading | writing, 6'd0, response};
          default: s_axi_rdata <= 0;
        endcase
      end
      wb_ack <= access;
      if (access & wb_we) begin
        if (wb_sel[0]) value[16*wb_adr[1]+:8] <= wb_dat_i[7:0];
        if (wb_sel[1]) value[16*wb_adr[1]+8+:8] <= wb_dat_i[15:8];
      end
      if (access & wb_adr[3:2] == 0) wb_dat_o <= value[16*wb_adr[1]+:16];
      if (m_axi_arvalid & m_axi_arready) m_axi_arvalid <= 0;
      if (m_axi_awvalid & m_axi_awready) m_axi_awvalid <= 0;
      if (m_axi_wvalid & m_axi_wready) m_axi_wvalid <= 0;
      if (reading & m_axi_rvalid) begin
        reading <= 0;
        response <= m_axi_rresp;
        if (m_axi_rresp == 0) value <= m_axi_rdata;
      end
      if (writing & m_axi_bvalid) begin
        writing <= 0;
        response <= m_axi_bresp;
      end
    end
endmodule
