// SPDX-License-Identifier: MIT
// Copyright (c) the retrap authors
//
// The engine in dma_engine.v as a PCI function with MSI.
#define RETRAP_DEVICE_IMPLEMENTATION
#include "Vdma_engine.h"
#include "retrap-verilator.h"

static void declare(retrap_server *server) {
    retrap_device device = {};
    device.device = 1;
    device.name = "dma-engine";
    retrap_add_device(server, &device);
    retrap_function function = {};
    function.function = 1;
    function.device = 1;
    function.address = RETRAP_ANY_SLOT;
    function.vendor = 0x1234;
    function.id = 0x0d3a;
    function.class_code = 0x088000; // another system peripheral
    function.pin = 1;
    retrap_add_function(server, &function);
    retrap_bar registers = {};
    registers.region = 1;
    registers.function = 1;
    registers.type = RETRAP_BAR_32;
    registers.bytes = 4096;
    retrap_add_bar(server, &registers);
    retrap_msi msi = {};
    msi.function = 1;
    msi.vectors = 1;
    retrap_add_msi(server, &msi);
}

int main(int argc, char **argv) {
    retrap::bridge<Vdma_engine> bridge("dma-engine", declare, argc, argv);
    Vdma_engine &top = bridge.top;
    retrap::axi_lite registers(bridge, RETRAP_AXI_LITE(top, s_axi_));
    retrap::axi_memory memory(bridge, RETRAP_AXI_MASTER(top, m_axi_));
    memory.latency = 40; // of a real root complex, about
    bridge.clock(top.clk).reset(top.rst).idle(top.idle);
    bridge.region(1, registers).interrupt(top.irq, 1);
    return bridge.run();
}
