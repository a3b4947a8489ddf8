/* A device at port 0x700 that counts its reads, and saves the count. */
#define RETRAP_DEVICE_IMPLEMENTATION
#include "retrap-device.h"

static uint8_t count;

static void declare(retrap_server *s)
{
    retrap_add_device(s, &(retrap_device){ .device = 1, .name = "counting" });
    retrap_add_range(s, &(retrap_range){ .region = 1, .device = 1, .space = RETRAP_PORTS, .base = 0x700, .bytes = 1 });
}

static uint64_t on_read(retrap_server *s, const retrap_access *a) { return ++count; }
static void on_reset(retrap_server *s, uint64_t device) { count = 0; }


static const char *on_save(retrap_server *s, uint64_t device, retrap_state *into)
{
    return *into = (retrap_state){ .bytes = &count, .length = 1 }, NULL;
}

static const char *on_restore(retrap_server *s, uint64_t device, const retrap_state *from)
{
    return memcpy(&count, from->bytes, 1), NULL;
}

int main(int argc, char **argv)
{
    static const retrap_model model = { .name = "counting", .declare = declare, .read = on_read,
        .reset = on_reset, .save = on_save, .restore = on_restore };
    return retrap_run(&model, argc > 1 ? argv[1] : NULL);
}
