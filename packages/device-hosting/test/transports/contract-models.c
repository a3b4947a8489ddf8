/* The models of the transports' contract tests, as in models.ts, by retrap-device.h. Numbers of objects are their ports or addresses. */
#define RETRAP_DEVICE_IMPLEMENTATION
#include "../../sdk/c/retrap-device.h"

enum { REGISTERS = 1, WIDE, BUFFERED, CONTROL, DMA, BAD, OWNER, FUNCTION };
enum { PORTS = 0x100, MMIO = 0x18000, WIDE_MMIO = 0x19000, BUFFERED_MMIO = 0xa0000, FIRED = 0x200, CLOCK = 0x204, REACHED = 0x208,
    INVERTED = 0x210, REVERSED = 0x218, BADLY = 0x220, OWNED = 0x230, BAR = 1 };
enum { RAISE = 1, LOWER, PULSE, MESSAGE, ARM, CANCEL, POWER_OFF, RESET, EXIT };
enum { THROW, HANG, ANSWER_TEXT, DIE, THROW_IN_TIMER, THROW_LATER, OTHER_FRAME };
enum { OWN_WRITE = 1, OWN_READ = 2, OWN_SYNC = 5 };
enum { LINE = 5, CONTROL_TIMER = 1, BAD_TIMER = 2, MEMORY = 1 };

static uint8_t bytes[64];
/* Since the last `save`, as JSON. */
static char notes[1 << 15], state[sizeof notes + 256];
static size_t notes_end;
static uint64_t fired, reached, owned, late;

static void add_ports(retrap_server *s, uint64_t device, uint64_t base, uint64_t count)
{
    retrap_add_range(s, &(retrap_range){ .region = base, .device = device, .space = RETRAP_PORTS, .base = base, .bytes = count });
}
static void declare(retrap_server *s)
{
    static const struct { uint64_t device, flags; const char *name; } devices[] = { { REGISTERS, 0, "registers" },
        { WIDE, RETRAP_STATELESS, "wide" }, { BUFFERED, RETRAP_STATELESS, "buffered" }, { CONTROL, RETRAP_STATELESS, "control" },
        { DMA, RETRAP_STATELESS, "dma" }, { BAD, RETRAP_STATELESS, "bad" }, { OWNER, RETRAP_STATELESS, "owner" },
        { FUNCTION, RETRAP_STATELESS, "function" } };
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        retrap_add_device(s, &(retrap_device){ .device = devices[i].device, .flags = devices[i].flags, .name = devices[i].name });
    add_ports(s, REGISTERS, PORTS, 64);
    retrap_add_range(s, &(retrap_range){ .region = MMIO, .device = REGISTERS, .space = RETRAP_MMIO, .base = MMIO, .bytes = 64 });
    retrap_add_range(s, &(retrap_range){ .region = WIDE_MMIO, .device = WIDE, .space = RETRAP_MMIO, .base = WIDE_MMIO, .bytes = 64,
        .maximum = 8, .minimum = 4 });
    retrap_add_range(s, &(retrap_range){ .region = BUFFERED_MMIO, .device = BUFFERED, .space = RETRAP_MMIO, .base = BUFFERED_MMIO,
        .bytes = 0x100, .flags = RETRAP_BUFFERED });
    add_ports(s, CONTROL, FIRED, 1);
    add_ports(s, CONTROL, CLOCK, 4);
    add_ports(s, CONTROL, REACHED, 8);
    retrap_add_line(s, &(retrap_line){ .line = LINE, .device = CONTROL, .irq = 5 });
    add_ports(s, DMA, INVERTED, 4);
    add_ports(s, DMA, REVERSED, 4);
    add_ports(s, BAD, BADLY, 8);
    add_ports(s, OWNER, OWNED, 4);
    retrap_add_memory(s, &(retrap_memory){ .memory = MEMORY, .device = OWNER, .bytes = 4 * 4096, .name = "ram" });
    retrap_add_window(s, &(retrap_window){ .memory = MEMORY, .base = 0x60000 });
    retrap_add_function(s, &(retrap_function){ .function = FUNCTION, .device = FUNCTION, .address = 4 * 8, .vendor = 0x1234,
        .id = 0x4321, .class_code = 0xff0000, .pin = 1 });
    retrap_add_bar(s, &(retrap_bar){ .region = BAR, .function = FUNCTION, .type = RETRAP_BAR_32, .bytes = 16 });
    retrap_add_msi(s, &(retrap_msi){ .function = FUNCTION, .vectors = 1 });
}

static void note(char what, uint64_t size, uint64_t offset, const uint64_t *value)
{
    char *to = notes + notes_end;
    size_t room = sizeof notes - notes_end;
    const char *comma = notes_end == 0 ? "" : ",";
    int length = value == NULL
        ? snprintf(to, room, "%s\"%c%u@%u\"", comma, what, (unsigned)size, (unsigned)offset)
        : snprintf(to, room, "%s\"%c%u@%u=%lx\"", comma, what, (unsigned)size, (unsigned)offset, (unsigned long)*value);
    if ((size_t)length < room) notes_end += (size_t)length;
}
static uint64_t load(uint64_t size, uint64_t offset)
{
    uint64_t value = 0;
    if (size == 8) return value = load(4, offset), value | load(4, offset + 4) << 32;
    note('r', size, offset, NULL);
    while (size-- > 0) value = value << 8 | bytes[offset + size];
    return value;
}
static void store(uint64_t size, uint64_t offset, uint64_t value)
{
    uint64_t low = value & 0xffffffff;
    note('w', size < 8 ? size : 4, offset, &low);
    for (uint64_t i = 0; i < size && i < 4; i++) bytes[offset + i] = (uint8_t)(low >> 8 * i);
    if (size == 8) store(4, offset + 4, value >> 32);
}

/* `done` for a read: the library has no way to say it. */
static void answer_otherwise(retrap_server *s, uint64_t call)
{
    uint64_t frame[4] = { sizeof frame | UINT64_C(45) << 32, 0, 0, 0 };
    frame[1] = call;
    if (write(retrap_fd(s), frame, sizeof frame) < 0) exit(1);
}
static uint64_t behave_badly(retrap_server *s, const retrap_access *a)
{
    switch (a->offset) {
    case THROW:
        retrap_fault(s, BAD, "thrown in a handler");
        return 0;
    case HANG:
        return retrap_later(s);
    case DIE:
        exit(7);
    case THROW_LATER:
        return late = retrap_later(s);
    case OTHER_FRAME:
        answer_otherwise(s, a->call);
        return retrap_later(s);
    default:
        retrap_arm_timer(s, BAD, BAD_TIMER, 0);
        return 1;
    }
}
static uint64_t on_read(retrap_server *s, const retrap_access *a)
{
    switch (a->region) {
    case FIRED: return fired;
    case CLOCK: return retrap_now(s) & 0xffffffff;
    case REACHED: return reached >> 8 * a->offset;
    case BADLY: return behave_badly(s, a);
    case OWNED: return owned;
    case BAR: return a->offset;
    default: return load(a->size, a->offset);
    }
}

static void control(retrap_server *s, uint64_t action)
{
    switch (action) {
    case RAISE: case LOWER: retrap_set_line(s, LINE, action == RAISE); break;
    case PULSE: retrap_set_line(s, LINE, true), retrap_set_line(s, LINE, false); break;
    case MESSAGE: retrap_interrupt(s, FUNCTION, 0, true), retrap_interrupt(s, FUNCTION, 0, false); break;
    case ARM: retrap_arm_timer(s, CONTROL, CONTROL_TIMER, retrap_now(s) + 1000); break;
    case CANCEL: retrap_arm_timer(s, CONTROL, CONTROL_TIMER, RETRAP_NEVER); break;
    case POWER_OFF: retrap_power_off(s); break;
    case RESET: retrap_reset_machine(s); break;
    default: retrap_exit(s, 3);
    }
}
/* The four bytes at an address come back behind them, inverted or in reverse. */
static void move(retrap_server *s, uint64_t address, bool in_reverse)
{
    uint8_t from[4], to[4];
    if (!retrap_dma_read(s, DMA, address, from, 4)) return;
    for (int i = 0; i < 4; i++) to[i] = in_reverse ? from[3 - i] : (uint8_t)~from[i];
    retrap_dma_write(s, DMA, address + 4, to, 4);
}
static void own(retrap_server *s, uint64_t action)
{
    uint8_t read[4] = { 0 };
    if (action == OWN_WRITE) retrap_memory_write(s, MEMORY, 0x1ffe, "\1\2\3\4", 4);
    if (action == OWN_READ && retrap_memory_read(s, MEMORY, 0x1ffe, read, 4))
        owned = (uint64_t)(read[0] << 12 | read[1] << 8 | read[2] << 4 | read[3]);
    if (action == OWN_SYNC && retrap_memory_read(s, MEMORY, 0x2000, read, 1)) owned = read[0];
}
static void on_write(retrap_server *s, const retrap_access *a)
{
    switch (a->region) {
    case BUFFERED_MMIO: note('b', a->size, a->offset, &a->value); break;
    case FIRED: control(s, a->value); break;
    case INVERTED: case REVERSED: move(s, a->value, a->region == REVERSED); break;
    case OWNED: own(s, a->value); break;
    case BAR: retrap_interrupt(s, FUNCTION, 0, true); break;
    case PORTS: case MMIO: case WIDE_MMIO: store(a->size, a->offset, a->value); break;
    default: break;
    }
}

static void on_timer(retrap_server *s, uint64_t timer, uint64_t deadline)
{
    if (timer == BAD_TIMER) {
        retrap_fault(s, BAD, "thrown in a timer");
        return;
    }
    reached = deadline;
    retrap_set_line(s, LINE, true);
    /* A second one follows, a nanosecond later. */
    if (++fired % 2 == 1) retrap_arm_timer(s, CONTROL, CONTROL_TIMER, deadline + 1);
}
static void on_reset(retrap_server *s, uint64_t device)
{
    if (device == REGISTERS) memset(bytes, 0, sizeof bytes);
    if (device != CONTROL) return;
    fired = 0;
    retrap_set_line(s, LINE, false);
}
static const char *on_save(retrap_server *s, uint64_t device, retrap_state *into)
{
    int end = sprintf(state, "{\"bytes\":\"");
    for (size_t i = 0; i < sizeof bytes; i++) end += sprintf(state + end, "%02x", bytes[i]);
    end += sprintf(state + end, "\",\"log\":[%.*s]}", (int)notes_end, notes);
    notes_end = 0;
    into->bytes = state;
    into->length = (size_t)end;
    return NULL;
}
static const char *on_restore(retrap_server *s, uint64_t device, const retrap_state *from)
{
    const char *at = (const char *)from->bytes + strlen("{\"bytes\":\"");
    if (from->length < 2 * sizeof bytes) return "no state of registers";
    for (size_t i = 0; i < sizeof bytes; i++, at += 2) {
        char digits[] = { at[0], at[1], 0 };
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const retrap_model model = { .name = "contract", .declare = declare, .read = on_read, .write = on_write, .timer = on_timer,
        .reset = on_reset, .save = on_save, .restore = on_restore };
    static retrap_server server;
    int status = 1;
    if (!retrap_open(&server, &model, argc > 1 ? argv[1] : NULL)) return 2;
    while (status > 0) {
        status = retrap_poll(&server, late == 0 ? -1 : 1);
        if (late == 0) continue;
        retrap_fault(&server, BAD, "thrown later");
        retrap_answer(&server, late, 0);
        late = 0;
    }
    retrap_close(&server);
    return status < 0;
}
