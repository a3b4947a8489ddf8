/* SPDX-License-Identifier: MIT
 * The C end of device-process.bench.ts. Without arguments: a device at 0x8000 whose read answers its offset, and whose write of N at
 * offset 16 moves N MiB into guest memory, and at offset 20 out of it. With `echo`: 56 bytes in and 24 bytes out, the bare round trip.
 */
#define RETRAP_DEVICE_IMPLEMENTATION
#include "../../device-hosting/sdk/c/retrap-device.h"

enum { DEVICE = 1, REGION = 1, LENGTH = 1 << 20 };

static unsigned char memory[LENGTH];

static void declare(retrap_server *s)
{
    retrap_add_device(s, &(retrap_device){ .device = DEVICE, .name = "c", .flags = RETRAP_STATELESS });
    retrap_add_range(s, &(retrap_range){
        .region = REGION, .device = DEVICE, .space = RETRAP_MMIO, .base = 0xfedc0000, .bytes = 4096 });
}

static uint64_t on_read(retrap_server *s, const retrap_access *a)
{
    (void)s;
    return a->offset;
}

static void on_write(retrap_server *s, const retrap_access *a)
{
    uint64_t i;
    for (i = 0; i < a->value; i++) {
        if (a->offset == 16) retrap_dma_post(s, DEVICE, 0x100000, memory, LENGTH);
        else retrap_dma_read(s, DEVICE, 0x100000, memory, LENGTH);
    }
}

static int echo(void)
{
    char bytes[64];
    for (;;) {
        size_t got = 0;
        while (got < 56) {
            ssize_t n = read(3, bytes + got, 56 - got);
            if (n <= 0) return 0;
            got += (size_t)n;
        }
        if (write(3, bytes, 24) != 24) return 1;
    }
}

int main(int argc, char **argv)
{
    static const retrap_model model = { .name = "c", .declare = declare, .read = on_read, .write = on_write };
    if (argc > 1) return echo();
    return retrap_run(&model, NULL);
}
