/* SPDX-License-Identifier: MIT
 * A counter at I/O port 0x5c0 that goes up each period of the guest's clock, drives interrupt 5, and is saved with the machine.
 *   +0  count    +4  period in microseconds; 0: stopped    +8  write: the interrupt is taken
 * cc -O2 counter.c -o counter && retrap run ... --device 'exec:./counter'
 */
#define RETRAP_DEVICE_IMPLEMENTATION
#include "../retrap-device.h"

enum { DEVICE = 1, REGION = 1, LINE = 1, TIMER = 1, VERSION = 1 };
/* A snapshot has this. */
static struct state { uint32_t version, count, period, level; uint64_t next; } state;
static const struct state power_on = { .version = VERSION, .next = RETRAP_NEVER };

static void declare(retrap_server *s)
{
    state = power_on;
    retrap_add_device(s, &(retrap_device){ .device = DEVICE, .name = "counter" });
    retrap_add_range(s, &(retrap_range){ .region = REGION, .device = DEVICE, .space = RETRAP_PORTS, .base = 0x5c0, .bytes = 12 });
    retrap_add_line(s, &(retrap_line){ .line = LINE, .device = DEVICE, .irq = 5 });
}
/* The line and the timer follow the state. */
static void go_on(retrap_server *s, struct state with)
{
    state = with;
    retrap_set_line(s, LINE, state.level);
    retrap_arm_timer(s, DEVICE, TIMER, state.next);
}
static uint64_t on_read(retrap_server *s, const retrap_access *a)
{
    return a->offset == 0 ? state.count : a->offset == 4 ? state.period : 0;
}
static void on_write(retrap_server *s, const retrap_access *a)
{
    if (a->offset == 4) state.period = (uint32_t)a->value;
    if (a->offset == 4) state.next = state.period ? retrap_now(s) + state.period * UINT64_C(1000) : RETRAP_NEVER;
    if (a->offset == 8) state.level = 0;
    go_on(s, state);
}
static void on_timer(retrap_server *s, uint64_t timer, uint64_t deadline)
{
    state.count++, state.level = 1;
    state.next = deadline + state.period * UINT64_C(1000);
    go_on(s, state);
}
static void on_reset(retrap_server *s, uint64_t device) { go_on(s, power_on); }
static const char *on_save(retrap_server *s, uint64_t device, retrap_state *into)
{
    return *into = (retrap_state){ .bytes = &state, .length = sizeof state }, NULL;
}
static const char *on_restore(retrap_server *s, uint64_t device, const retrap_state *from)
{
    const struct state *found = from->bytes;
    if (from->length != sizeof state || found->version != VERSION) return "no state of version 1 of a counter";
    return go_on(s, *found), NULL;
}
static const retrap_model model = { .name = "counter", .declare = declare, .read = on_read, .write = on_write,
    .timer = on_timer, .reset = on_reset, .save = on_save, .restore = on_restore };

int main(int argc, char **argv) { return retrap_run(&model, argc > 1 ? argv[1] : NULL); }
