// The design at 0xfed90000 by AXI4-Lite and at ports 0x300 by Wishbone, with interrupt 5. --no-quiet leaves out its promise.
#define RETRAP_DEVICE_IMPLEMENTATION
#include "Vprobe.h"
#include "retrap-verilator.h"

static void declare(retrap_server *server) {
    retrap_device device = {};
    device.device = 1;
    device.name = "probe";
    retrap_add_device(server, &device);
    retrap_range registers = {};
    registers.region = 1;
    registers.device = 1;
    registers.space = RETRAP_MMIO;
    registers.base = 0xfed90000;
    registers.bytes = 256;
    registers.maximum = 8;
    retrap_add_range(server, &registers);
    retrap_range ports = {};
    ports.region = 2;
    ports.device = 1;
    ports.space = RETRAP_PORTS;
    ports.base = 0x300;
    ports.bytes = 16;
    retrap_add_range(server, &ports);
    retrap_line line = {};
    line.line = 1;
    line.device = 1;
    line.irq = 5;
    retrap_add_line(server, &line);
}

int main(int argc, char **argv) {
    retrap::bridge<Vprobe> bridge("probe", declare, argc, argv);
    Vprobe &top = bridge.top;
    retrap::axi_lite registers(bridge, RETRAP_AXI_LITE(top, s_axi_));
    retrap::wishbone ports(bridge, RETRAP_WISHBONE(top, wb_));
    retrap::axi_memory memory(bridge, RETRAP_AXI_LITE_MASTER(top, m_axi_));
    memory.latency = 10;
    bridge.clock(top.clk).reset(top.rst_n, 0).idle(top.idle);
    if (argc < 2) bridge.quiet(top.quiet);
    bridge.region(1, registers).region(2, ports).line(top.irq, 1);
    return bridge.run();
}
