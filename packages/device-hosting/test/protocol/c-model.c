/* A device server that does all that the library can, for c.test.ts. Registers of region 1, 8 bytes each, in `enum`. */
#define RETRAP_DEVICE_IMPLEMENTATION
#include "../../sdk/c/retrap-device.h"

enum { COUNT = 0, COPY = 8, LATER = 16, ANSWER = 24, POST = 32, OWN = 40, LOG = 48, FAULT = 56, NOW = 64, WRONG = 72, END = 80 };
enum { MOST = 3 << 20 };

static uint64_t reads, held[64];
static unsigned holds;
static uint64_t quiescing;
static uint8_t buffer[MOST];

static void declare(retrap_server *s)
{
    static const uint8_t body[] = { 1, 2, 3, 4, 5 }, writable[] = { 0, 0, 0xff, 0, 0 };
    /* Calls of an earlier machine are not answered. */
    holds = 0;
    quiescing = 0;
    retrap_add_device(s, &(retrap_device){ .device = 1, .name = "all" });
    retrap_add_range(s, &(retrap_range){ .region = 1, .device = 1, .space = RETRAP_MMIO, .base = 0xfed90000, .bytes = 4096, .maximum = 8 });
    retrap_add_line(s, &(retrap_line){ .line = 4, .device = 1, .irq = 5 });
    retrap_add_memory(s, &(retrap_memory){ .memory = 1, .device = 1, .bytes = 65536, .flags = RETRAP_READ_ONLY, .name = "rom" });
    retrap_add_window(s, &(retrap_window){ .memory = 1, .base = 0xfee00000 });
    retrap_add_device(s, &(retrap_device){ .device = 2, .flags = RETRAP_OFFERED | RETRAP_STATELESS, .name = "card" });
    retrap_add_function(s, &(retrap_function){ .function = 7, .device = 2, .address = RETRAP_ANY_SLOT, .vendor = 0x1234, .id = 0x5678,
        .revision = 3, .class_code = 0x070002, .subsystem_vendor = 0xaaaa, .subsystem = 0xbbbb, .pin = 2, .flags = RETRAP_EXTENDED, .bus = "port1" });
    retrap_add_bar(s, &(retrap_bar){ .region = 2, .function = 7, .index = 2, .type = RETRAP_BAR_64, .bytes = 4096, .flags = RETRAP_BUFFERED | RETRAP_PREFETCHABLE });
    retrap_add_bar(s, &(retrap_bar){ .region = 3, .function = 7, .type = RETRAP_BAR_32, .bytes = 65536, .memory = 1 });
    retrap_add_msi(s, &(retrap_msi){ .function = 7, .vectors = 4, .flags = RETRAP_MASKS });
    retrap_add_msix(s, &(retrap_msix){ .function = 7, .vectors = 16, .bar = 4, .offset = 64, .pending = 1024 });
    retrap_add_capability(s, &(retrap_capability){ .function = 7, .id = 9, .version = 1, .body = body, .length = sizeof body, .writable = writable });
}

static uint64_t on_read(retrap_server *s, const retrap_access *a)
{
    if (a->offset == NOW) return retrap_now(s);
    if (a->offset != LATER || holds == 64) return reads++;
    held[holds++] = a->call;
    return retrap_later(s);
}

static void on_write(retrap_server *s, const retrap_access *a)
{
    size_t n = a->value < MOST ? (size_t)a->value : MOST;
    bool ok;
    switch (a->offset) {
    case COUNT:
        reads = a->value;
        break;
    case COPY:
        ok = retrap_dma_read(s, 1, 0x100000, buffer, n) && retrap_dma_write(s, 1, 0x900000, buffer, n);
        retrap_log(s, "copied %u: %d", (unsigned)n, ok);
        break;
    case ANSWER:
        for (; holds > 0; holds--) retrap_answer(s, held[holds - 1], a->value + holds - 1);
        if (quiescing != 0) retrap_done(s, quiescing, NULL);
        quiescing = 0;
        break;
    case POST:
        memset(buffer, 0x5a, n);
        retrap_dma_post(s, 1, 0x200000, buffer, n);
        retrap_interrupt(s, 7, 3, true);
        break;
    case OWN:
        retrap_memory_post(s, 1, 16, "posted", 6);
        ok = retrap_memory_write(s, 1, 32, "written", 7) && retrap_memory_read(s, 1, 16, buffer, 5);
        retrap_set_line(s, 4, ok && memcmp(buffer, "12345", 5) == 0);
        break;
    case LOG:
        if (n == 0)
            retrap_log(s, "a\xff\xc3\xa9\n\xed\xa0\x80\xf0\x9f\x98\x80\xe2\x82");
        else
            retrap_log(s, "%0*d\xe2\x82\xac\n", (int)n, 7);
        break;
    case FAULT:
        retrap_fault(s, 2, "it is on fire");
        break;
    case WRONG:
        retrap_interrupt(s, 99, 0, true);
        break;
    case END:
        retrap_stop(s, "it has had enough");
        break;
    default:
        break;
    }
}

static void on_timer(retrap_server *s, uint64_t timer, uint64_t deadline) { retrap_arm_timer(s, 1, timer, deadline + 1000); }
static void on_reset(retrap_server *s, uint64_t device) { retrap_arm_timer(s, device, 10 + device, RETRAP_NEVER); }
static void on_plug(retrap_server *s, uint64_t device) { retrap_log(s, "plug %u", (unsigned)device); }
static void on_unplug(retrap_server *s, uint64_t device) { retrap_log(s, "unplug %u", (unsigned)device); }
static void on_cancel(retrap_server *s, uint64_t call) { retrap_log(s, "cancel %u", (unsigned)call); }
static const char *on_quiesce(retrap_server *s, uint64_t device, uint64_t milliseconds)
{
    if (device != 1) return milliseconds == 0 ? "there is no time" : NULL;
    quiescing = retrap_later(s);
    return NULL;
}
static const char *on_save(retrap_server *s, uint64_t device, retrap_state *into)
{
    memset(buffer, (int)device, 1000000);
    into->bytes = buffer;
    into->length = 1000000;
    return NULL;
}
static const char *on_restore(retrap_server *s, uint64_t device, const retrap_state *from)
{
    /* The state stays where it is while other frames come. */
    bool ok = retrap_memory_read(s, 1, 0, buffer, 65536);
    size_t i;
    for (i = 0; i < from->length; i++)
        if (((const uint8_t *)from->bytes)[i] != 7) return "the state has other bytes";
    return ok ? NULL : "the memory was not read";
}

int main(int argc, char **argv)
{
    static const retrap_model model = { .name = "all", .declare = declare, .read = on_read, .write = on_write, .timer = on_timer,
        .reset = on_reset, .plug = on_plug, .unplug = on_unplug, .cancel = on_cancel, .quiesce = on_quiesce, .save = on_save,
        .restore = on_restore };
    static retrap_server server;
    int status = 1;
    if (argc < 3) return retrap_run(&model, argc > 1 ? argv[1] : NULL);
    /* Loops of its own. */
    if (!retrap_open(&server, &model, argv[1])) return 2;
    while (status > 0) {
        struct pollfd polled = { .fd = retrap_fd(&server), .events = POLLIN };
        if (strcmp(argv[2], "poll") == 0) {
            status = retrap_poll(&server, -1);
        } else {
            poll(&polled, 1, -1);
            status = retrap_step(&server);
        }
    }
    retrap_close(&server);
    return status < 0;
}
