/* SPDX-License-Identifier: MIT
 * A thermometer at a fixed address: 32-bit registers at 0xfed90000.
 *   +0  temperature in thousandths of a degree; it drifts with the guest's clock
 *   +4  samples that were read so far
 * cc -O2 thermometer.c -o thermometer && retrap run ... --device 'exec:./thermometer'
 */
#define RETRAP_DEVICE_IMPLEMENTATION
#include "../retrap-device.h"

enum { DEVICE = 1, REGION = 1 };

static uint32_t samples;

static void declare(retrap_server *s)
{
    retrap_add_device(s, &(retrap_device){ .device = DEVICE, .name = "thermometer", .flags = RETRAP_STATELESS });
    retrap_add_range(s, &(retrap_range){
        .region = REGION, .device = DEVICE, .space = RETRAP_MMIO, .base = 0xfed90000, .bytes = 4096, .minimum = 4 });
}

/* Rises from 20 to 25 degrees within ten seconds of the guest, and falls again. */
static uint32_t temperature(uint64_t now)
{
    uint64_t phase = now / 1000000 % 20000;
    return (uint32_t)(20000 + (phase < 10000 ? phase : 20000 - phase) / 2);
}

static uint64_t on_read(retrap_server *s, const retrap_access *a)
{
    if (a->offset == 4) return samples;
    if (a->offset != 0) return 0;
    samples++;
    return temperature(retrap_now(s));
}

static void on_reset(retrap_server *s, uint64_t device)
{
    samples = 0;
}

int main(int argc, char **argv)
{
    static const retrap_model model = { .name = "thermometer", .declare = declare, .read = on_read, .reset = on_reset };
    return retrap_run(&model, argc > 1 ? argv[1] : NULL);
}
