/* SPDX-License-Identifier: MIT
 * A PCI function (1234:5678) that copies guest memory. BAR 0:
 *   +0  source (64 bits)   +8  destination (64 bits)   +16 length (32 bits, at most 1 MiB)
 *   +20 write 1: begin     +24 status: 1 busy, 2 done, 4 error; write: the interrupt is taken
 * It takes a nanosecond of the guest's for each byte, and then raises MSI, or INTA without it.
 * cc -O2 dma-copy.c -o dma-copy && retrap run ... --device 'exec:./dma-copy'
 */
#define RETRAP_DEVICE_IMPLEMENTATION
#include "../retrap-device.h"

enum { DEVICE = 1, FUNCTION = 1, BAR = 1, TIMER = 1, BEGIN = 20, STATUS = 24, BUSY = 1, DONE = 2, ERROR = 4 };
static uint8_t registers[32], buffer[1 << 20];
static void declare(retrap_server *s)
{
    retrap_add_device(s, &(retrap_device){ .device = DEVICE, .name = "dma-copy", .flags = RETRAP_STATELESS });
    retrap_add_function(s, &(retrap_function){ .function = FUNCTION, .device = DEVICE, .address = RETRAP_ANY_SLOT,
        .vendor = 0x1234, .id = 0x5678, .class_code = 0x088000, .pin = 1 });
    retrap_add_bar(s, &(retrap_bar){ .region = BAR, .function = FUNCTION, .type = RETRAP_BAR_32, .bytes = 4096, .maximum = 8 });
    retrap_add_msi(s, &(retrap_msi){ .function = FUNCTION, .vectors = 1 });
}

static uint64_t on_read(retrap_server *s, const retrap_access *a)
{
    uint64_t value = 0;
    if (a->offset + a->size <= sizeof registers) memcpy(&value, registers + a->offset, (size_t)a->size);
    return value;
}

static void on_write(retrap_server *s, const retrap_access *a)
{
    uint32_t length;
    if (a->offset == STATUS) {
        registers[STATUS] &= BUSY;
        retrap_interrupt(s, FUNCTION, 0, false);
    } else if (a->offset + a->size <= BEGIN) {
        memcpy(registers + a->offset, &a->value, (size_t)a->size);
    } else if (a->offset == BEGIN && registers[STATUS] != BUSY) {
        memcpy(&length, registers + 16, sizeof length);
        registers[STATUS] = BUSY;
        retrap_arm_timer(s, DEVICE, TIMER, retrap_now(s) + length);
    }
}

static void on_timer(retrap_server *s, uint64_t timer, uint64_t deadline)
{
    uint64_t from, to;
    uint32_t n;
    memcpy(&from, registers, 8), memcpy(&to, registers + 8, 8), memcpy(&n, registers + 16, 4);
    bool ok = n <= sizeof buffer && retrap_dma_read(s, DEVICE, from, buffer, n) && retrap_dma_write(s, DEVICE, to, buffer, n);
    registers[STATUS] = ok ? DONE : ERROR;
    retrap_interrupt(s, FUNCTION, 0, true);
}

int main(int argc, char **argv)
{
    static const retrap_model model = {
        .name = "dma-copy", .declare = declare, .read = on_read, .write = on_write, .timer = on_timer };
    return retrap_run(&model, argc > 1 ? argv[1] : NULL);
}
