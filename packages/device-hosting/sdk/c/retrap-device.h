/* SPDX-License-Identifier: MIT
 * Copyright (c) the retrap authors; the licence is at the end of this file.
 *
 * retrap-device.h: device models of retrap machines in C and C++, version 5 of the device protocol.
 *
 * In ONE source file of the program, before any other #include:
 *
 *     #define RETRAP_DEVICE_IMPLEMENTATION
 *     #include "retrap-device.h"
 *
 * Other files include it without the define. It is C99 and C++11, needs a POSIX host (Linux, macOS, BSD) and nothing but
 * its C library, and allocates nothing. Windows (named pipes) is not supported yet.
 *
 *     static uint64_t on_read(retrap_server *s, const retrap_access *a) { (void)s; return a->offset; }
 *     static void on_write(retrap_server *s, const retrap_access *a) { (void)s; (void)a; }
 *     static void declare(retrap_server *s) {
 *         retrap_add_device(s, &(retrap_device){ .device = 1, .name = "echo", .flags = RETRAP_STATELESS });
 *         retrap_add_range(s, &(retrap_range){ .region = 1, .device = 1, .space = RETRAP_MMIO, .base = 0xfed90000, .bytes = 4096 });
 *     }
 *     int main(int argc, char **argv) {
 *         static const retrap_model model = { .name = "echo", .declare = declare, .read = on_read, .write = on_write };
 *         return retrap_run(&model, argc > 1 ? argv[1] : NULL);
 *     }
 *
 *     cc -O2 echo.c -o echo && retrap run ... --device 'exec:./echo'
 *
 * RETRAP_DEVICE_TRACE=1 in the environment prints each frame to stderr. README.md has the tour, PROTOCOL.md the protocol.
 *
 * Rules
 * - One thread: call the library from the thread that runs it. Another thread wakes that one by a pipe of its own, and
 *   that one polls it beside retrap_fd().
 * - While a callback waits for memory (retrap_dma_read and so on), other calls of the machine wait in a queue: callbacks
 *   are never nested.
 * - Frames of the machine are checked before a callback sees them. A broken frame ends the session with a sentence on
 *   stderr. An access always lies within its region.
 */
#ifndef RETRAP_DEVICE_H
#define RETRAP_DEVICE_H

#ifdef RETRAP_DEVICE_IMPLEMENTATION
/* A compiler asked for strict ISO C hides sockets. */
#if defined(__STRICT_ANSI__) && !defined(_POSIX_C_SOURCE) && !defined(_GNU_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#endif

#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Sizes: define another value before the #include, the same in all files. ---- */

/* Devices, regions, functions, lines, memories and timers together. */
#ifndef RETRAP_MAX_OBJECTS
#define RETRAP_MAX_OBJECTS 512
#endif
/* Calls that are answered later, at a time. */
#ifndef RETRAP_MAX_LATE
#define RETRAP_MAX_LATE 256
#endif
/* Bytes of calls that may wait while a callback waits for memory; an access has 64 bytes. */
#ifndef RETRAP_QUEUE_BYTES
#define RETRAP_QUEUE_BYTES (1u << 20)
#endif
/* Frames on their way out, and those kept for another connection: a power of two, at least 2 MiB. */
#ifndef RETRAP_OUT_BYTES
#define RETRAP_OUT_BYTES (1u << 22)
#endif
/* Larger transfers of memory are cut into pieces of so many bytes, at most 512 KiB ... */
#ifndef RETRAP_PIECE_BYTES
#define RETRAP_PIECE_BYTES (1u << 18)
#endif
/* ... of which so many are on their way at a time. */
#ifndef RETRAP_PIECES
#define RETRAP_PIECES 4
#endif

#define RETRAP_MAX_FRAME (1u << 20)
#define RETRAP_NEVER UINT64_MAX

/* ---- Devices and their parts. You choose the numbers; fields that you leave out are 0. ---- */

typedef struct retrap_server retrap_server;

/* retrap_device.flags */
#define RETRAP_STATELESS 1u /* it has no state to save */
#define RETRAP_OFFERED 2u   /* it is not there before `plug` */
typedef struct retrap_device {
    uint64_t device;
    uint64_t flags;
    const char *name; /* unique in its machine */
} retrap_device;

/* retrap_range.space */
#define RETRAP_PORTS 0u
#define RETRAP_MMIO 1u
/* retrap_range.flags and retrap_bar.flags */
#define RETRAP_BUFFERED 1u     /* the guest does not wait for writes */
#define RETRAP_PREFETCHABLE 2u /* BARs only */
typedef struct retrap_range {
    uint64_t region, device, space, base, bytes;
    uint64_t maximum; /* larger accesses are split: 1, 2, 4 or 8; 0: 4 */
    uint64_t minimum; /* smaller accesses are widened: 1, 2 or 4; 0: 1 */
    uint64_t flags;
} retrap_range;

/* retrap_function.address */
#define RETRAP_ANY_SLOT 256u /* + function number: the machine chooses the device number */
/* retrap_function.flags */
#define RETRAP_EXTENDED 1u      /* 4096 bytes of configuration space */
#define RETRAP_MULTIFUNCTION 2u /* the device has several functions */
typedef struct retrap_function {
    uint64_t function, device;
    uint64_t address; /* device number * 8 + function number, or RETRAP_ANY_SLOT + function number */
    uint64_t vendor, id, revision;
    uint64_t class_code; /* class, subclass, programming interface: 24 bits */
    uint64_t subsystem_vendor, subsystem;
    uint64_t pin; /* INTA to INTD as 1 to 4; 0: none */
    uint64_t flags;
    const char *bus; /* NULL: the root */
} retrap_function;

/* retrap_bar.type */
#define RETRAP_BAR_PORTS 0u
#define RETRAP_BAR_32 1u
#define RETRAP_BAR_64 2u
typedef struct retrap_bar {
    uint64_t region, function;
    uint64_t index; /* 0 to 5; of a 64-bit one the lower half */
    uint64_t type;
    uint64_t bytes; /* a power of two */
    uint64_t maximum, minimum, flags; /* as in retrap_range */
    uint64_t memory; /* shows this memory there, and nothing is asked; 0: none */
} retrap_bar;

/* retrap_msi.flags */
#define RETRAP_MASKS 1u /* a mask for each vector */
typedef struct retrap_msi {
    uint64_t function, vectors, flags;
} retrap_msi;

typedef struct retrap_msix {
    uint64_t function, vectors;
    uint64_t bar;     /* index of the memory BAR of the table */
    uint64_t offset;  /* of the table in it */
    uint64_t pending; /* offset of the pending bits; 0: behind the table */
} retrap_msix;

typedef struct retrap_capability {
    uint64_t function, id;
    uint64_t version;   /* of an extended capability; 0: it is none */
    const void *body;   /* the bytes behind ID and next pointer */
    size_t length;      /* of body, and of writable */
    const void *writable; /* bits that the guest may write; NULL: none */
} retrap_capability;

/* retrap_memory.flags */
#define RETRAP_READ_ONLY 1u
#define RETRAP_EXECUTABLE 2u
#define RETRAP_NOT_SAVED 4u
typedef struct retrap_memory {
    uint64_t memory; /* never 0 */
    uint64_t device;
    uint64_t bytes; /* a multiple of 4096 */
    uint64_t flags;
    const char *name;
} retrap_memory;

typedef struct retrap_window {
    uint64_t memory, base;
} retrap_window;

typedef struct retrap_line {
    uint64_t line, device;
    uint64_t irq; /* a PC: ISA interrupt 0 to 15, or a GSI; an Arm board: 32 + the SPI */
} retrap_line;

/* Call these in `declare`. */
void retrap_add_device(retrap_server *server, const retrap_device *device);
void retrap_add_range(retrap_server *server, const retrap_range *range);
void retrap_add_function(retrap_server *server, const retrap_function *function);
void retrap_add_bar(retrap_server *server, const retrap_bar *bar);
void retrap_add_msi(retrap_server *server, const retrap_msi *msi);
void retrap_add_msix(retrap_server *server, const retrap_msix *msix);
void retrap_add_capability(retrap_server *server, const retrap_capability *capability);
void retrap_add_memory(retrap_server *server, const retrap_memory *memory);
void retrap_add_window(retrap_server *server, const retrap_window *window);
void retrap_add_line(retrap_server *server, const retrap_line *line);

/* ---- The model: callbacks. ---- */

/* An access of the guest. It lies within its region. */
typedef struct retrap_access {
    uint64_t call;   /* for retrap_answer; 0: a buffered write, which has no answer */
    uint64_t device; /* the region's */
    uint64_t region;
    uint64_t offset;
    uint64_t size;  /* 1, 2, 4 or 8 */
    uint64_t value; /* of a write */
    uint64_t vcpu;  /* the processor that waits */
} retrap_access;

/* The state of a device. In `save`, let `bytes` point to memory that lasts until the next callback. In `restore` they
 * are aligned as a uint64_t. */
typedef struct retrap_state {
    const void *bytes;
    size_t length;
} retrap_state;

/* Callbacks. Only `name` and `declare` are needed, and `read` and `write` of devices that have regions. A callback that
 * returns `const char *` returns NULL, or a sentence about its error. */
typedef struct retrap_model {
    const char *name; /* of the server, for people */
    void *user;       /* yours: retrap_user() */
    void (*declare)(retrap_server *server);
    uint64_t (*read)(retrap_server *server, const retrap_access *access);
    void (*write)(retrap_server *server, const retrap_access *access);
    void (*timer)(retrap_server *server, uint64_t timer, uint64_t deadline);
    void (*reset)(retrap_server *server, uint64_t device); /* also before a machine that is not the first */
    const char *(*save)(retrap_server *server, uint64_t device, retrap_state *state);
    const char *(*restore)(retrap_server *server, uint64_t device, const retrap_state *state);
    const char *(*quiesce)(retrap_server *server, uint64_t device, uint64_t milliseconds);
    void (*resume)(retrap_server *server, uint64_t device);
    void (*plug)(retrap_server *server, uint64_t device);
    void (*unplug)(retrap_server *server, uint64_t device);
    void (*cancel)(retrap_server *server, uint64_t call); /* a late call whose processor was reset: still answer it */
} retrap_model;

/* ---- Running. ---- */

/* Runs the model until the session ends, or for good where it listens. @return the status for main to return: 0, or 1 after
 * an error that stderr tells, or 2 for an address that is none.
 *
 * address: "unix:PATH" or "tcp:HOST:PORT" to listen, "stdio" for stdin and stdout (printf then goes to stderr). Where
 * RETRAP_DEVICE_FD is set, as by `retrap run --device exec:...`, that descriptor is used, and the address is not. */
int retrap_run(const retrap_model *model, const char *address);

/* For a program with a loop of its own: open, then poll retrap_fd() for input beside the other descriptors and call
 * retrap_step() when there is some, and after anything that was done outside of callbacks. */
bool retrap_open(retrap_server *server, const retrap_model *model, const char *address);
/* The descriptor to wait for. It changes when a connection comes or goes: ask each time. */
int retrap_fd(const retrap_server *server);
/* Handles the frames that have come, without waiting. @return 1: goes on; 0: the session has ended; -1: it failed */
int retrap_step(retrap_server *server);
/* Waits for input, at most so long; -1: for ever. Then as retrap_step(). */
int retrap_poll(retrap_server *server, int milliseconds);
/* Ends the session with a reason, and the loop with it. */
void retrap_stop(retrap_server *server, const char *why);
void retrap_close(retrap_server *server);
/* The sentence of the last failure; "" without one. */
const char *retrap_error(const retrap_server *server);
void *retrap_user(const retrap_server *server);

/* ---- Actions of a device: in callbacks, or, where two runs need not agree, at any other time. ---- */

/* The guest's clock in nanoseconds: that of the call, or of the last one. */
uint64_t retrap_now(const retrap_server *server);
/* Sets a timer's deadline on the guest's clock; RETRAP_NEVER stops it. `timer` comes then, once. A reset, a restore and an
 * unplug stop all timers of the device. */
void retrap_arm_timer(retrap_server *server, uint64_t device, uint64_t timer, uint64_t deadline);
/* The cause of a PCI function's interrupt has come (1) or gone (0): MSI-X, MSI or INTx, as the guest has set up. */
void retrap_interrupt(retrap_server *server, uint64_t function, uint64_t vector, bool level);
/* Drives an interrupt line. */
void retrap_set_line(retrap_server *server, uint64_t line, bool level);

/* Guest memory, of any length. They wait for the answer. @return whether all of it is RAM that the device may reach */
bool retrap_dma_read(retrap_server *server, uint64_t device, uint64_t address, void *into, size_t length);
bool retrap_dma_write(retrap_server *server, uint64_t device, uint64_t address, const void *from, size_t length);
/* Does not wait, and tells nothing: it is in memory before what is sent afterwards. */
void retrap_dma_post(retrap_server *server, uint64_t device, uint64_t address, const void *from, size_t length);
/* The device's own memory, as above. */
bool retrap_memory_read(retrap_server *server, uint64_t memory, uint64_t offset, void *into, size_t length);
bool retrap_memory_write(retrap_server *server, uint64_t memory, uint64_t offset, const void *from, size_t length);
void retrap_memory_post(retrap_server *server, uint64_t memory, uint64_t offset, const void *from, size_t length);

/* Leaves the call that is being handled open: retrap_answer or retrap_done answers it later. In `read`:
 * `return retrap_later(s);`. @return the call's number; 0 for a call without an answer, and in `save` and `restore` */
uint64_t retrap_later(retrap_server *server);
/* Answers a read or write; a write's value does not matter. @return false for a call that is not open */
bool retrap_answer(retrap_server *server, uint64_t call, uint64_t value);
/* Answers any other call. @param error - NULL: none */
bool retrap_done(retrap_server *server, uint64_t call, const char *error);

#if defined(__GNUC__)
#define RETRAP__PRINTF(at, from) __attribute__((format(printf, at, from)))
#else
#define RETRAP__PRINTF(at, from)
#endif
/* A line for whoever runs the machine. */
void retrap_log(retrap_server *server, const char *format, ...) RETRAP__PRINTF(2, 3);
/* The device cannot go on: the machine ends, or goes on without it. */
void retrap_fault(retrap_server *server, uint64_t device, const char *format, ...) RETRAP__PRINTF(3, 4);
void retrap_power_off(retrap_server *server);
void retrap_reset_machine(retrap_server *server);
void retrap_exit(retrap_server *server, uint32_t status);

/* ---- The server's memory: make it static, it is large. Its fields are the library's. ---- */

#define RETRAP__IN_BYTES (2u * RETRAP_MAX_FRAME + RETRAP_QUEUE_BYTES)

struct retrap__object {
    uint64_t id, device;
    uint64_t bytes; /* of a region or memory; of a timer the deadline */
    unsigned kind;
};
struct retrap__transfer {
    uint64_t call; /* 0: free */
    uint8_t *into;
    size_t length; /* that the answer is to have */
    bool done, ok;
};

struct retrap_server {
    const retrap_model *model;
    int in_fd, out_fd, listen_fd, next_fd;
    bool is_socket, listens, trace, real_time;
    bool welcomed, opened, ready, over, failed, stopped;
    bool busy, later, waits, midway;
    unsigned sessions;
    uint64_t session, next_session, next_now;
    uint64_t next_flags;
    uint64_t now, now_host;
    uint64_t received, unseen_frames, unseen_bytes;
    uint64_t frames_out, frames_acked;
    uint64_t current;
    unsigned current_kind;
    /* Objects, and where one of a kind with the low bits of a number was found last. */
    size_t objects;
    uint16_t hint[6][64];
    struct retrap__object object[RETRAP_MAX_OBJECTS];
    size_t lates;
    struct {
        uint64_t call;
        bool is_access;
    } late[RETRAP_MAX_LATE];
    uint64_t last_transfer;
    struct retrap__transfer transfer[RETRAP_PIECES];
    /* Bytes of a dmaDone that are read straight to where they belong. */
    struct retrap__transfer *direct;
    size_t direct_at, direct_padding;
    unsigned direct_seen;
    /* Input: [in_head, in_scan) are whole frames that wait, [in_scan, in_end) has not been looked at. Below in_floor
     * lies the frame that a callback reads. */
    size_t in_floor, in_head, in_scan, in_end;
    /* Output: positions that only grow. [out_tail, out_sent) is kept for another connection. */
    uint64_t out_tail, out_sent, out_head;
    char error[256];
    char unix_path[112];
    uint8_t in[RETRAP__IN_BYTES];
    uint8_t out[RETRAP_OUT_BYTES];
};

#ifdef __cplusplus
}
#endif
#endif /* RETRAP_DEVICE_H */

#ifdef RETRAP_DEVICE_IMPLEMENTATION
#ifndef RETRAP_DEVICE_IMPLEMENTED
#define RETRAP_DEVICE_IMPLEMENTED
#ifdef _WIN32
#error "retrap-device.h needs a POSIX host: Windows is not supported yet"
#endif

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef char retrap__check_out[(RETRAP_OUT_BYTES & (RETRAP_OUT_BYTES - 1)) == 0 && RETRAP_OUT_BYTES >= (2u << 20) ? 1 : -1];
typedef char retrap__check_piece[RETRAP_PIECE_BYTES <= (1u << 19) ? 1 : -1];
struct retrap__aligned {
    char byte;
    uint64_t word;
};
typedef char retrap__check_in[offsetof(retrap_server, in) % offsetof(struct retrap__aligned, word) == 0 ? 1 : -1];
typedef char retrap__check_objects[RETRAP_MAX_OBJECTS <= 65535 ? 1 : -1];

/* ---- The frames: n is an integer of at most 2^53 - 1, w one of 64 bits, t text, b bytes. ---- */

enum {
    RETRAP__ACK = 1, RETRAP__HELLO = 2, RETRAP__READ = 3, RETRAP__WRITE = 4, RETRAP__CANCEL = 5, RETRAP__TIMER = 6,
    RETRAP__RESET = 7, RETRAP__PLUG = 8, RETRAP__UNPLUG = 9, RETRAP__SAVE = 10, RETRAP__RESTORE = 11, RETRAP__QUIESCE = 12,
    RETRAP__RESUME = 13, RETRAP__DMA_DONE = 14, RETRAP__BYE = 15, RETRAP__WELCOME = 32, RETRAP__DEVICE = 33,
    RETRAP__RANGE = 34, RETRAP__FUNCTION = 35, RETRAP__BAR = 36, RETRAP__MSI = 37, RETRAP__MSIX = 38,
    RETRAP__CAPABILITY = 39, RETRAP__MEMORY = 40, RETRAP__WINDOW = 41, RETRAP__LINE = 42, RETRAP__READY = 43,
    RETRAP__ANSWER = 44, RETRAP__DONE = 45, RETRAP__FAULT = 46, RETRAP__INTERRUPT = 47, RETRAP__SET_LINE = 48,
    RETRAP__ARM_TIMER = 49, RETRAP__DMA_READ = 50, RETRAP__DMA_WRITE = 51, RETRAP__MEMORY_READ = 52,
    RETRAP__MEMORY_WRITE = 53, RETRAP__POWER_OFF = 54, RETRAP__RESET_MACHINE = 55, RETRAP__EXIT = 56, RETRAP__LOG = 57,
};

typedef struct {
    const char *name, *layout, *fields;
} retrap__kind;

/* Kinds 0 to 15, then 32 to 57. */
static const retrap__kind retrap__kinds[] = {
    {NULL, NULL, NULL},
    {"ack", "", ""},
    {"hello", "nnwnw", "version flags session received now"},
    {"read", "nnnnnw", "call region offset size vcpu now"},
    {"write", "nnnnwnw", "call region offset size value vcpu now"},
    {"cancel", "n", "call"},
    {"timer", "nnww", "call timer deadline now"},
    {"reset", "nnw", "call device now"},
    {"plug", "nnw", "call device now"},
    {"unplug", "nnw", "call device now"},
    {"save", "nn", "call device"},
    {"restore", "nnbw", "call device state now"},
    {"quiesce", "nnn", "call device deadline"},
    {"resume", "nnw", "call device now"},
    {"dmaDone", "nnb", "call ok bytes"},
    {"bye", "t", "why"},
    {"welcome", "nnwnt", "version flags session received name"},
    {"device", "nnt", "device flags name"},
    {"range", "nnnnnnnn", "region device space base bytes maximum minimum flags"},
    {"function", "nnnnnnnnnnnt", "function device address vendor id revision class subsystemVendor subsystem pin flags bus"},
    {"bar", "nnnnnnnnn", "region function index type bytes maximum minimum flags memory"},
    {"msi", "nnn", "function vectors flags"},
    {"msix", "nnnnn", "function vectors bar offset pending"},
    {"capability", "nnnbb", "function id version body writable"},
    {"memory", "nnnnt", "memory device bytes flags name"},
    {"window", "nn", "memory base"},
    {"line", "nnn", "line device irq"},
    {"ready", "", ""},
    {"answer", "nw", "call value"},
    {"done", "ntb", "call error result"},
    {"fault", "nt", "device message"},
    {"interrupt", "nnn", "function vector level"},
    {"setLine", "nn", "line level"},
    {"armTimer", "nnw", "timer device deadline"},
    {"dmaRead", "nnnn", "call device address length"},
    {"dmaWrite", "nnnb", "call device address bytes"},
    {"memoryRead", "nnnn", "call memory offset length"},
    {"memoryWrite", "nnnb", "call memory offset bytes"},
    {"powerOff", "", ""},
    {"resetMachine", "", ""},
    {"exit", "n", "status"},
    {"log", "t", "text"},
};

static const retrap__kind *retrap__kind_of(unsigned code)
{
    return &retrap__kinds[code < 16 ? code : code - 16];
}

static bool retrap__is_long(char type)
{
    return type == 't' || type == 'b';
}

static size_t retrap__padded(size_t length)
{
    return (length + 7u) & ~(size_t)7u;
}

static uint64_t retrap__get(const uint8_t *from)
{
    return (uint64_t)from[0] | (uint64_t)from[1] << 8 | (uint64_t)from[2] << 16 | (uint64_t)from[3] << 24 |
           (uint64_t)from[4] << 32 | (uint64_t)from[5] << 40 | (uint64_t)from[6] << 48 | (uint64_t)from[7] << 56;
}

static void retrap__put(uint8_t *to, uint64_t value)
{
    int i;
    for (i = 0; i < 8; i++) to[i] = (uint8_t)(value >> (8 * i));
}

static void retrap__stamp(uint8_t *header, uint64_t received)
{
    header[6] = (uint8_t)received;
    header[7] = (uint8_t)(received >> 8);
}

/* ---- Trace and errors. ---- */

/* Prints a frame, of which the first `have` bytes are there. */
static void retrap__trace(const char *arrow, const uint8_t *frame, size_t have)
{
    unsigned code = (unsigned)(frame[4] | frame[5] << 8);
    const retrap__kind *kind = retrap__kind_of(code);
    const char *name = kind->fields, *type;
    size_t at = 8;
    fprintf(stderr, "%s %s", arrow, kind->name);
    for (type = kind->layout; *type != '\0' && at + 8 <= have; type++) {
        size_t width = strcspn(name, " ");
        uint64_t value = retrap__get(frame + at);
        fprintf(stderr, " %.*s=", (int)width, name);
        at += 8;
        if (!retrap__is_long(*type)) {
            fprintf(stderr, value < 4096 ? "%llu" : "0x%llx", (unsigned long long)value);
        } else {
            size_t i, shown = value > 64 ? 64 : (size_t)value;
            if (shown > have - at) shown = have - at;
            if (*type == 'b') fprintf(stderr, "%llu:", (unsigned long long)value);
            for (i = 0; i < shown && (*type == 't' || i < 16); i++) {
                if (*type == 'b')
                    fprintf(stderr, "%02x", frame[at + i]);
                else
                    fputc(frame[at + i] < 32 ? ' ' : frame[at + i], stderr);
            }
            if (i < value) fprintf(stderr, "...");
            if (value > have) break;
            at += retrap__padded((size_t)value);
        }
        name += width + (name[width] == ' ');
    }
    fputc('\n', stderr);
}

static void retrap__say(const retrap_server *s, const char *text)
{
    fprintf(stderr, "%s: %s\n", s->model->name, text);
}

static void retrap__hang_up(retrap_server *s)
{
    if (s->in_fd >= 0) close(s->in_fd);
    if (s->out_fd >= 0 && s->out_fd != s->in_fd) close(s->out_fd);
    s->in_fd = s->out_fd = -1;
    s->welcomed = false;
    s->direct = NULL;
    /* The rest of a frame does not come: the machine sends the whole of it again. */
    s->in_end = s->in_scan;
}

static void retrap__bye(const retrap_server *s, int fd, const char *why);
static bool retrap__finish(retrap_server *s);

/* Ends the session with a sentence. */
static void retrap__fail(retrap_server *s, const char *format, ...) RETRAP__PRINTF(2, 3);
static void retrap__fail(retrap_server *s, const char *format, ...)
{
    va_list arguments;
    if (s->over) return;
    va_start(arguments, format);
    vsnprintf(s->error, sizeof s->error, format, arguments);
    va_end(arguments);
    s->over = s->failed = true;
    retrap__say(s, s->error);
    if (s->out_fd >= 0 && retrap__finish(s)) retrap__bye(s, s->out_fd, s->error);
    retrap__hang_up(s);
}

/* The connection is gone. Where the server listens, the session waits for another one. */
static void retrap__lost(retrap_server *s)
{
    bool within = s->in_end != s->in_scan || s->direct != NULL;
    retrap__hang_up(s);
    if (s->over) return;
    if (s->listens) {
        retrap__say(s, "the connection is gone; waiting for another one");
    } else if (within) {
        retrap__fail(s, "the connection ended within a frame");
    } else {
        s->over = true;
    }
}

/* ---- Objects by number. ---- */

enum { RETRAP__A_DEVICE, RETRAP__A_REGION, RETRAP__A_FUNCTION, RETRAP__A_LINE, RETRAP__A_MEMORY, RETRAP__A_TIMER };
static const char *const retrap__object_names[] = {"device", "region", "function", "line", "memory", "timer"};

static struct retrap__object *retrap__find(retrap_server *s, unsigned kind, uint64_t id)
{
    size_t i = s->hint[kind][id & 63];
    if (i < s->objects && s->object[i].id == id && s->object[i].kind == kind) return &s->object[i];
    for (i = 0; i < s->objects; i++)
        if (s->object[i].id == id && s->object[i].kind == kind) {
            s->hint[kind][id & 63] = (uint16_t)i;
            return &s->object[i];
        }
    return NULL;
}

/* Finds an object that the model names. The session fails where it is not declared. */
static struct retrap__object *retrap__named(retrap_server *s, const char *by, unsigned kind, uint64_t id)
{
    struct retrap__object *object = retrap__find(s, kind, id);
    if (object == NULL)
        retrap__fail(s, "%s names %s %llu, which is not declared", by, retrap__object_names[kind], (unsigned long long)id);
    return object;
}

static bool retrap__declare(retrap_server *s, unsigned kind, uint64_t id, unsigned owner_kind, uint64_t owner, uint64_t bytes)
{
    struct retrap__object *made, *of = NULL;
    const char *name = retrap__object_names[kind];
    if (s->over) return false;
    if (s->ready && kind != RETRAP__A_TIMER) {
        retrap__fail(s, "%s %llu is declared outside of `declare`", name, (unsigned long long)id);
        return false;
    }
    if (kind != RETRAP__A_DEVICE && (of = retrap__named(s, name, owner_kind, owner)) == NULL) return false;
    if (retrap__find(s, kind, id) != NULL) {
        retrap__fail(s, "%s %llu is declared twice", name, (unsigned long long)id);
        return false;
    }
    if (s->objects == RETRAP_MAX_OBJECTS) {
        retrap__fail(s, "%s %llu is one object too many: raise RETRAP_MAX_OBJECTS", name, (unsigned long long)id);
        return false;
    }
    made = &s->object[s->objects++];
    made->kind = kind;
    made->id = id;
    made->device = of == NULL ? id : of->device;
    made->bytes = bytes;
    return true;
}

/* ---- Output. ---- */

static bool retrap__wait(retrap_server *s);
static void retrap__take(retrap_server *s, bool wait);
static size_t retrap__space(const retrap_server *s);
static bool retrap__newcomer(retrap_server *s);

static uint8_t *retrap__out_at(retrap_server *s, uint64_t at)
{
    return &s->out[at & (RETRAP_OUT_BYTES - 1)];
}

/* The bytes that are to be sent, in at most two parts. @return how many parts */
static int retrap__unsent(retrap_server *s, struct iovec *parts)
{
    size_t length = (size_t)(s->out_head - s->out_sent), first = RETRAP_OUT_BYTES - (size_t)(s->out_sent & (RETRAP_OUT_BYTES - 1));
    parts[0].iov_base = retrap__out_at(s, s->out_sent);
    parts[0].iov_len = length < first ? length : first;
    parts[1].iov_base = s->out;
    parts[1].iov_len = length - parts[0].iov_len;
    return parts[1].iov_len > 0 ? 2 : 1;
}

/* Waits for events of a descriptor, at most so long; -1: for ever. @return those that are there; 0: none; -1: poll failed */
static int retrap__ready(int fd, short events, int milliseconds)
{
    struct pollfd polled;
    int count;
    polled.fd = fd;
    polled.events = events;
    polled.revents = 0;
    count = poll(&polled, 1, milliseconds);
    return count > 0 ? polled.revents : count;
}

/* The other end does not take bytes: takes its own meanwhile, so that two full sockets never wait for each other. */
static void retrap__blocked(retrap_server *s)
{
    struct pollfd polled[3];
    polled[0].fd = s->out_fd;
    polled[0].events = POLLOUT;
    polled[1].fd = retrap__space(s) > 0 ? s->in_fd : -1;
    polled[1].events = POLLIN;
    polled[2].fd = s->listens ? s->listen_fd : -1;
    polled[2].events = POLLIN;
    polled[0].revents = polled[1].revents = polled[2].revents = 0;
    if (poll(polled, 3, -1) < 0) return;
    if (polled[2].revents != 0 && polled[1].revents == 0 && retrap__newcomer(s)) return;
    if (polled[1].revents != 0) retrap__take(s, false);
}

static ssize_t retrap__writev(const retrap_server *s, int fd, struct iovec *parts, int count)
{
    struct msghdr message;
    if (!s->is_socket) return writev(fd, parts, count);
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    /* Its type differs between hosts. */
    while (count-- > 0) message.msg_iovlen++;
#ifdef MSG_NOSIGNAL
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
#else
    return sendmsg(fd, &message, MSG_DONTWAIT);
#endif
}

/* Writes all parts. @return whether the connection took them */
static bool retrap__write_all(retrap_server *s, struct iovec *parts, int count)
{
    int fd = s->out_fd;
    while (count > 0 && s->out_fd == fd && fd >= 0) {
        ssize_t wrote = retrap__writev(s, s->out_fd, parts, count);
        if (wrote < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                retrap__blocked(s);
            else if (errno != EINTR)
                retrap__lost(s);
            continue;
        }
        while (count > 0 && (size_t)wrote >= parts->iov_len) {
            wrote -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + wrote;
            parts->iov_len -= (size_t)wrote;
        }
    }
    return count == 0;
}

/* Sends the frames that wait. */
static void retrap__flush(retrap_server *s)
{
    while (s->out_sent < s->out_head && s->welcomed && !s->over) {
        struct iovec parts[2];
        ssize_t wrote = retrap__writev(s, s->out_fd, parts, retrap__unsent(s, parts));
        if (wrote > 0) {
            s->out_sent += (uint64_t)wrote;
            if (!s->listens) s->out_tail = s->out_sent;
        } else if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            retrap__blocked(s);
        } else if (wrote < 0 && errno != EINTR) {
            retrap__lost(s);
        }
    }
}

/* Sends the rest at once, for a bye to follow. @return false where the connection does not take it */
static bool retrap__finish(retrap_server *s)
{
    struct iovec parts[2];
    if (s->midway) return false;
    if (!s->welcomed || s->out_sent == s->out_head) return true;
    return retrap__writev(s, s->out_fd, parts, retrap__unsent(s, parts)) == (ssize_t)(s->out_head - s->out_sent);
}

/* Makes room for a frame: sends, and where frames are kept waits until the machine has got some. */
static bool retrap__room(retrap_server *s, size_t length)
{
    while (!s->over && (RETRAP_OUT_BYTES - (s->out_head - s->out_tail) < length || s->frames_out - s->frames_acked >= 32767)) {
        bool waits = s->waits;
        s->waits = true;
        if (s->listens)
            retrap__wait(s);
        else
            retrap__flush(s);
        s->waits = waits;
    }
    return !s->over;
}

static void retrap__append(retrap_server *s, const void *from, size_t length)
{
    size_t first = RETRAP_OUT_BYTES - (size_t)(s->out_head & (RETRAP_OUT_BYTES - 1));
    if (first > length) first = length;
    if (first > 0) memcpy(retrap__out_at(s, s->out_head), from, first);
    if (length > first) memcpy(s->out, (const uint8_t *)from + first, length - first);
    s->out_head += length;
}

/* Appends a frame; fields are uint64_t, and const char * for t, const void * and size_t for b. */
static void retrap__send(retrap_server *s, unsigned code, ...)
{
    static const uint8_t zeros[8] = {0};
    const retrap__kind *kind = retrap__kind_of(code);
    const char *type;
    uint8_t head[8 + 12 * 8];
    const void *tail[2] = {NULL, NULL};
    size_t tail_length[2] = {0, 0}, tail_at[2] = {0, 0};
    size_t at = 8, length, done = 0;
    int tails = 0, i;
    va_list arguments;
    if (s->over) return;
    va_start(arguments, code);
    for (type = kind->layout; *type != '\0'; type++) {
        uint64_t value;
        if (retrap__is_long(*type)) {
            const void *bytes = *type == 't' ? (const void *)va_arg(arguments, const char *) : va_arg(arguments, const void *);
            size_t count;
            if (*type == 'b')
                count = va_arg(arguments, size_t);
            else
                count = bytes == NULL ? 0 : strlen((const char *)bytes);
            if (count > RETRAP_MAX_FRAME) count = RETRAP_MAX_FRAME;
            tail[tails] = bytes;
            tail_length[tails] = count;
            tail_at[tails++] = at + 8;
            value = count;
        } else {
            value = va_arg(arguments, uint64_t);
            if (*type == 'n' && value >> 53 != 0) {
                va_end(arguments);
                retrap__fail(s, "0x%llx in a %s frame: expected at most 2^53 - 1", (unsigned long long)value, kind->name);
                return;
            }
        }
        retrap__put(head + at, value);
        at += 8;
    }
    va_end(arguments);
    length = at + retrap__padded(tail_length[0]) + retrap__padded(tail_length[1]);
    if (length > RETRAP_MAX_FRAME) {
        retrap__fail(s, "a %s frame of %lu bytes: expected at most 1 MiB", kind->name, (unsigned long)length);
        return;
    }
    retrap__put(head, (uint64_t)length | (uint64_t)code << 32);
    if (s->trace) {
        /* Bytes of a frame with one long field follow its head. */
        uint8_t shown[sizeof head + 64];
        size_t more = tails == 1 ? (tail_length[0] < 64 ? tail_length[0] : 64) : 0;
        memcpy(shown, head, at);
        if (more > 0) memcpy(shown + at, tail[0], more);
        retrap__trace("->", shown, at + more);
    }
    /* A large transfer that need not be kept goes out from where it lies. */
    if (!s->listens && tails == 1 && tail_length[0] >= 16384 && s->welcomed) {
        struct iovec parts[3];
        size_t padding = retrap__padded(tail_length[0]) - tail_length[0];
        retrap__flush(s);
        parts[0].iov_base = head;
        parts[0].iov_len = at;
        parts[1].iov_base = (void *)(uintptr_t)tail[0];
        parts[1].iov_len = tail_length[0];
        parts[2].iov_base = (void *)(uintptr_t)zeros;
        parts[2].iov_len = padding;
        s->midway = true;
        if (!s->over) retrap__write_all(s, parts, padding > 0 ? 3 : 2);
        s->midway = false;
        return;
    }
    if (!retrap__room(s, length)) return;
    if (s->listens) {
        retrap__stamp(head, s->received);
        s->unseen_frames = s->unseen_bytes = 0;
        s->frames_out++;
    }
    for (i = 0; i < tails; i++) {
        retrap__append(s, head + done, tail_at[i] - done);
        retrap__append(s, tail[i], tail_length[i]);
        retrap__append(s, zeros, retrap__padded(tail_length[i]) - tail_length[i]);
        done = tail_at[i];
    }
    retrap__append(s, head + done, at - done);
}

/* Writes a short frame that is not counted, apart from the stream of the others. */
static bool retrap__aside(const retrap_server *s, int fd, const uint8_t *frame, size_t length)
{
    while (length > 0) {
        struct iovec part;
        ssize_t wrote;
        part.iov_base = (void *)(uintptr_t)frame;
        part.iov_len = length;
        wrote = retrap__writev(s, fd, &part, 1);
        if (wrote > 0) {
            frame += wrote;
            length -= (size_t)wrote;
            continue;
        }
        if (wrote == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return false;
        if (retrap__ready(fd, POLLOUT, 1000) <= 0) return false;
    }
    return true;
}

static void retrap__bye(const retrap_server *s, int fd, const char *why)
{
    uint8_t frame[16 + sizeof s->error];
    size_t length = strlen(why);
    int ready;
    if (length > sizeof s->error) length = sizeof s->error;
    memset(frame, 0, sizeof frame);
    retrap__put(frame, (16 + (uint64_t)retrap__padded(length)) | (uint64_t)RETRAP__BYE << 32);
    retrap__put(frame + 8, length);
    memcpy(frame + 16, why, length);
    /* A bye within another frame is none. */
    ready = retrap__ready(fd, POLLOUT, 0);
    if (ready <= 0 || (ready & (POLLERR | POLLHUP)) != 0) return;
    if (s->trace) retrap__trace("->", frame, 16 + length);
    retrap__aside(s, fd, frame, 16 + retrap__padded(length));
}

/* ---- Input. ---- */

typedef struct {
    unsigned code;
    uint64_t field[8]; /* of bytes and text the length */
    const uint8_t *bytes;
} retrap__frame;

/* Reads a whole frame of the machine's. @return false after an error */
static bool retrap__decode(retrap_server *s, const uint8_t *from, size_t length, retrap__frame *frame)
{
    const retrap__kind *kind;
    const char *type;
    size_t at = 8, fields = 0;
    frame->code = (unsigned)(from[4] | from[5] << 8);
    frame->bytes = NULL;
    if (frame->code == 0 || frame->code > RETRAP__BYE) {
        retrap__fail(s, "the machine sent a frame of kind %u, which it has not", frame->code);
        return false;
    }
    kind = retrap__kind_of(frame->code);
    for (type = kind->layout; *type != '\0'; type++) {
        uint64_t value;
        if (length - at < 8) {
            retrap__fail(s, "a %s frame of %lu bytes ends within its fields", kind->name, (unsigned long)length);
            return false;
        }
        frame->field[fields++] = value = retrap__get(from + at);
        at += 8;
        if (*type != 'w' && value >> 53 != 0) {
            retrap__fail(s, "0x%llx in a %s frame: expected at most 2^53 - 1", (unsigned long long)value, kind->name);
            return false;
        }
        if (retrap__is_long(*type)) {
            size_t end;
            if (value > length - at || retrap__padded((size_t)value) > length - at) {
                retrap__fail(s, "a %s frame of %lu bytes has %llu in a field", kind->name, (unsigned long)length,
                             (unsigned long long)value);
                return false;
            }
            frame->bytes = from + at;
            end = at + retrap__padded((size_t)value);
            for (at += (size_t)value; at < end; at++)
                if (from[at] != 0) {
                    retrap__fail(s, "a %s frame has no zeros behind its bytes", kind->name);
                    return false;
                }
        }
    }
    if (at != length) {
        retrap__fail(s, "a %s frame of %lu bytes: its fields take %lu", kind->name, (unsigned long)length, (unsigned long)at);
        return false;
    }
    return true;
}

/* The machine has got so many frames more. */
static void retrap__drop(retrap_server *s, uint64_t count)
{
    for (; count > 0; count--) {
        uint64_t length = s->out_tail < s->out_sent ? retrap__get(retrap__out_at(s, s->out_tail)) & 0xffffffffu : 8;
        if (s->out_tail + length > s->out_sent) {
            retrap__fail(s, "the machine has got more frames than were sent");
            return;
        }
        s->out_tail += length;
        s->frames_acked++;
    }
}

static void retrap__acknowledge(retrap_server *s, unsigned seen)
{
    if (s->listens) retrap__drop(s, (seen - s->frames_acked) & 0xffff);
}

static void retrap__count(retrap_server *s, uint64_t bytes)
{
    s->received++;
    s->unseen_frames++;
    s->unseen_bytes += bytes;
}

static struct retrap__transfer *retrap__transfer_of(retrap_server *s, uint64_t call)
{
    size_t i;
    for (i = 0; i < RETRAP_PIECES; i++)
        if (call != 0 && s->transfer[i].call == call && !s->transfer[i].done) return &s->transfer[i];
    return NULL;
}

/* Removes the frame at in_scan; calls that wait before it move up. */
static void retrap__remove(retrap_server *s, size_t length)
{
    if (s->in_head != s->in_scan) memmove(s->in + s->in_head + length, s->in + s->in_head, s->in_scan - s->in_head);
    s->in_head += length;
    s->in_scan += length;
}

static void retrap__transferred(retrap_server *s, const retrap__frame *frame)
{
    struct retrap__transfer *transfer = retrap__transfer_of(s, frame->field[0]);
    bool ok = frame->field[1] != 0;
    if (transfer == NULL) {
        retrap__fail(s, "a dmaDone frame names call %llu, which is not open", (unsigned long long)frame->field[0]);
    } else if (frame->field[1] > 1 || frame->field[2] != (ok ? transfer->length : 0)) {
        retrap__fail(s, "a dmaDone frame has %llu bytes: expected %lu, and ok 0 or 1",
                     (unsigned long long)frame->field[2], (unsigned long)(ok ? transfer->length : 0));
    } else {
        if (transfer->into != NULL && ok) memcpy(transfer->into, frame->bytes, transfer->length);
        transfer->done = true;
        transfer->ok = ok;
    }
}

/* The frame at in_scan is not complete. The rest of a dmaDone frame is read straight to the caller's memory. */
static void retrap__begin_direct(retrap_server *s)
{
    const uint8_t *from = s->in + s->in_scan;
    size_t have = s->in_end - s->in_scan;
    struct retrap__transfer *transfer;
    if (have < 32 || (from[4] | from[5] << 8) != RETRAP__DMA_DONE || retrap__get(from + 16) != 1) return;
    transfer = retrap__transfer_of(s, retrap__get(from + 8));
    if (transfer == NULL || transfer->into == NULL || retrap__get(from + 24) != transfer->length ||
        (retrap__get(from) & 0xffffffffu) != 32 + retrap__padded(transfer->length) || have - 32 >= transfer->length)
        return;
    if (s->trace) retrap__trace("<-", from, have);
    memcpy(transfer->into, from + 32, have - 32);
    s->direct = transfer;
    s->direct_at = have - 32;
    s->direct_padding = retrap__padded(transfer->length) - transfer->length;
    s->direct_seen = (unsigned)(from[6] | from[7] << 8);
    s->in_end = s->in_scan;
}

/* Checks the frames that have come. Calls stay for retrap__dispatch; others are handled at once. */
static void retrap__scan(retrap_server *s)
{
    while (!s->over && s->in_end - s->in_scan >= 8) {
        const uint8_t *from = s->in + s->in_scan;
        size_t length = (size_t)(retrap__get(from) & 0xffffffffu);
        retrap__frame frame;
        if (length < 8 || length > RETRAP_MAX_FRAME || length % 8 != 0) {
            retrap__fail(s, "a frame of %lu bytes: expected a multiple of 8, from 8 to 1048576", (unsigned long)length);
            return;
        }
        if (s->in_end - s->in_scan < length) {
            retrap__begin_direct(s);
            return;
        }
        if (!retrap__decode(s, from, length, &frame)) return;
        if (s->trace) retrap__trace("<-", from, length);
        retrap__acknowledge(s, (unsigned)(from[6] | from[7] << 8));
        if (s->over) return;
        if (frame.code == RETRAP__ACK) {
            retrap__remove(s, length);
        } else if (frame.code == RETRAP__BYE) {
            char why[200];
            size_t i, count = frame.field[0] < sizeof why ? (size_t)frame.field[0] : sizeof why - 1;
            for (i = 0; i < count; i++) why[i] = frame.bytes[i] < 32 ? ' ' : (char)frame.bytes[i];
            why[count] = '\0';
            s->over = true;
            if (s->listens) fprintf(stderr, "%s: the machine has left: %s\n", s->model->name, why);
            retrap__hang_up(s);
        } else if (frame.code == RETRAP__HELLO) {
            retrap__fail(s, "the machine sent hello a second time");
        } else {
            retrap__count(s, frame.bytes == NULL ? 0 : (uint64_t)length);
            if (frame.code == RETRAP__DMA_DONE) {
                retrap__transferred(s, &frame);
                retrap__remove(s, length);
            } else {
                s->in_scan += length;
            }
        }
    }
}

/* Bytes that may be read. Room for the calls that come while a callback waits is kept for then. */
static size_t retrap__space(const retrap_server *s)
{
    size_t most = s->waits ? sizeof s->in : sizeof s->in - RETRAP_QUEUE_BYTES, used = s->in_end - s->in_head + s->in_floor;
    return most > used ? most - used : 0;
}

static ssize_t retrap__readv(const retrap_server *s, struct iovec *parts, int count, bool wait)
{
    struct msghdr message;
    if (wait && count == 1) return read(s->in_fd, parts->iov_base, parts->iov_len);
    if (!s->is_socket) {
        if (!wait && retrap__ready(s->in_fd, POLLIN, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        return readv(s->in_fd, parts, count);
    }
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    while (count-- > 0) message.msg_iovlen++;
    return recvmsg(s->in_fd, &message, wait ? 0 : MSG_DONTWAIT);
}

/* Waits until there is input, or another connection. @return false for the latter */
static bool retrap__await(retrap_server *s)
{
    struct pollfd polled[2];
    polled[0].fd = s->in_fd;
    polled[1].fd = s->listens ? s->listen_fd : -1;
    polled[0].events = polled[1].events = POLLIN;
    polled[0].revents = polled[1].revents = 0;
    if (poll(polled, 2, -1) < 0) return true;
    /* A bye that has come is read before another machine is refused. */
    return polled[0].revents != 0 || polled[1].revents == 0 || !retrap__newcomer(s);
}

/* Reads available bytes. @return 1: something; 0: nothing; -1: the connection is gone */
static int retrap__fill(retrap_server *s, bool wait)
{
    for (;;) {
        struct iovec parts[3];
        uint8_t padding[8] = {0};
        int count = 0;
        size_t space = retrap__space(s);
        ssize_t got;
        if (space == 0) {
            if (s->waits) retrap__fail(s, "calls of more than %u bytes wait: raise RETRAP_QUEUE_BYTES", RETRAP_QUEUE_BYTES);
            return 0;
        }
        if (s->in_head == s->in_end) {
            s->in_head = s->in_scan = s->in_end = s->in_floor;
        } else if (sizeof s->in - s->in_end < space && sizeof s->in - s->in_end < 65536) {
            size_t by = s->in_head - s->in_floor;
            memmove(s->in + s->in_floor, s->in + s->in_head, s->in_end - s->in_head);
            s->in_head -= by;
            s->in_scan -= by;
            s->in_end -= by;
        }
        if (space > sizeof s->in - s->in_end) space = sizeof s->in - s->in_end;
        if (s->direct != NULL) {
            parts[0].iov_base = s->direct->into + s->direct_at;
            parts[0].iov_len = s->direct->length - s->direct_at;
            parts[1].iov_base = padding;
            parts[1].iov_len = s->direct_padding;
            count = 2;
        }
        parts[count].iov_base = s->in + s->in_end;
        parts[count].iov_len = space;
        got = retrap__readv(s, parts, count + 1, wait);
        if (got > 0) {
            size_t left = (size_t)got;
            if (s->direct != NULL) {
                size_t here = left < parts[0].iov_len ? left : parts[0].iov_len;
                s->direct_at += here;
                left -= here;
                here = left < s->direct_padding ? left : s->direct_padding;
                s->direct_padding -= here;
                left -= here;
                if (s->direct_at == s->direct->length && s->direct_padding == 0) {
                    s->direct->done = s->direct->ok = true;
                    retrap__count(s, s->direct->length);
                    s->direct = NULL;
                    retrap__acknowledge(s, s->direct_seen);
                }
            }
            if (!s->over) s->in_end += left;
            return 1;
        }
        if (got == 0) return -1;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait || !retrap__await(s)) return 0;
        } else if (errno != EINTR) {
            return -1;
        }
    }
}

/* Reads what has come, and checks it. */
static void retrap__take(retrap_server *s, bool wait)
{
    if (retrap__fill(s, wait) < 0)
        retrap__lost(s);
    else
        retrap__scan(s);
}

/* Sends the frames that wait, and waits for bytes of the machine's. @return false where the session is over */
static bool retrap__wait(retrap_server *s)
{
    retrap__flush(s);
    if (s->over) return false;
    if (!s->welcomed) {
        if (retrap__ready(s->listen_fd, POLLIN, -1) > 0) retrap__newcomer(s);
        return !s->over;
    }
    if (s->listens && s->out_sent == s->out_head && (s->unseen_frames >= 64 || s->unseen_bytes >= 65536)) {
        uint8_t ack[8];
        retrap__put(ack, 8 | (uint64_t)RETRAP__ACK << 32);
        retrap__stamp(ack, s->received);
        s->unseen_frames = s->unseen_bytes = 0;
        if (s->trace) retrap__trace("->", ack, 8);
        if (!retrap__aside(s, s->out_fd, ack, 8)) retrap__lost(s);
        if (!s->welcomed) return !s->over;
    }
    retrap__take(s, true);
    return !s->over;
}

/* ---- Connections. ---- */

enum { RETRAP__H_VERSION, RETRAP__H_FLAGS, RETRAP__H_SESSION, RETRAP__H_RECEIVED, RETRAP__H_NOW, RETRAP__H_FIELDS };

/* Reads hello. Nothing follows it before welcome. @return 1; 0: the connection ended without a byte; -1: it is none, and `error` says so */
static int retrap__hello(const retrap_server *s, int fd, uint64_t *field, char *error, size_t room)
{
    uint8_t frame[8 + 8 * RETRAP__H_FIELDS];
    size_t have = 0, wanted = 16, i;
    while (have < wanted) {
        ssize_t got;
        /* A running session does not wait long for somebody who may be no machine. */
        if (retrap__ready(fd, POLLIN, s->welcomed ? 5000 : 30000) == 0) {
            snprintf(error, room, "a connection without hello");
            return -1;
        }
        got = read(fd, frame + have, wanted - have);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) {
            if (have == 0) return 0;
            snprintf(error, room, "the connection ended within hello");
            return -1;
        }
        have += (size_t)got;
        if (have < 16) continue;
        if ((frame[4] | frame[5] << 8) != RETRAP__HELLO) {
            snprintf(error, room, "the first frame is of kind %d: expected hello", frame[4] | frame[5] << 8);
            return -1;
        }
        if (retrap__get(frame + 8) != 5) {
            snprintf(error, room, "the machine speaks version %llu: expected 5", (unsigned long long)retrap__get(frame + 8));
            return -1;
        }
        if ((retrap__get(frame) & 0xffffffffu) != sizeof frame) {
            snprintf(error, room, "a hello frame of %lu bytes: its fields take %lu",
                     (unsigned long)(retrap__get(frame) & 0xffffffffu), (unsigned long)sizeof frame);
            return -1;
        }
        wanted = sizeof frame;
    }
    if (s->trace) retrap__trace("<-", frame, sizeof frame);
    for (i = 0; i < RETRAP__H_FIELDS; i++) field[i] = retrap__get(frame + 8 + 8 * i);
    if (field[RETRAP__H_SESSION] == 0 || field[RETRAP__H_RECEIVED] >> 53 != 0 || field[RETRAP__H_FLAGS] >> 53 != 0) {
        snprintf(error, room, "a hello frame has a session of 0, or a number above 2^53 - 1");
        return -1;
    }
    return 1;
}

static bool retrap__welcome(retrap_server *s, uint64_t session)
{
    uint8_t frame[48 + 200];
    size_t name = strlen(s->model->name), length;
    if (name > 200) name = 200;
    length = 48 + retrap__padded(name);
    memset(frame, 0, sizeof frame);
    retrap__put(frame, (uint64_t)length | (uint64_t)RETRAP__WELCOME << 32);
    retrap__put(frame + 8, 5);
    retrap__put(frame + 16, s->listens ? 1 : 0);
    retrap__put(frame + 24, session);
    retrap__put(frame + 32, s->received);
    retrap__put(frame + 40, name);
    memcpy(frame + 48, s->model->name, name);
    if (s->listens) retrap__stamp(frame, s->received);
    if (s->trace) retrap__trace("->", frame, length);
    return retrap__aside(s, s->out_fd, frame, length);
}

/* Sets options of a connection; a descriptor that has no such option ignores them. */
static void retrap__tune(const retrap_server *s, int fd)
{
    int on = 1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    if (s->listens) {
        /* An idle connection looks for another one that takes its place: see retrap__await. */
        struct timeval idle = {0, 250000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
}

/* Takes a connection to the port that the server listens on. @return whether it is used in place of the one before */
static bool retrap__newcomer(retrap_server *s)
{
    uint64_t field[RETRAP__H_FIELDS], at;
    char error[200];
    int greeted, fd = accept(s->listen_fd, NULL, NULL);
    if (fd < 0) return false;
    retrap__tune(s, fd);
    greeted = retrap__hello(s, fd, field, error, sizeof error);
    if (greeted <= 0) {
        if (greeted < 0) {
            retrap__say(s, error);
            retrap__bye(s, fd, error);
        }
        close(fd);
        return false;
    }
    /* The machine may just have left. */
    if (s->welcomed && field[RETRAP__H_SESSION] != s->session && retrap__space(s) > 0) retrap__take(s, false);
    if (!s->opened || s->over || field[RETRAP__H_SESSION] != s->session) {
        if (s->welcomed) {
            retrap__say(s, "refuses a second machine");
            retrap__bye(s, fd, "it serves another machine");
            close(fd);
            return false;
        }
        /* It begins when the callback that may be running has returned. */
        if (s->next_fd >= 0) close(s->next_fd);
        s->next_fd = fd;
        s->next_flags = field[RETRAP__H_FLAGS];
        s->next_session = field[RETRAP__H_SESSION];
        s->next_now = field[RETRAP__H_NOW];
        s->over = true;
        return true;
    }
    retrap__hang_up(s);
    s->in_fd = s->out_fd = fd;
    if (field[RETRAP__H_RECEIVED] < s->frames_acked || field[RETRAP__H_RECEIVED] > s->frames_out) {
        retrap__fail(s, "the machine has got %llu frames of %llu, and told of %llu before",
                     (unsigned long long)field[RETRAP__H_RECEIVED], (unsigned long long)s->frames_out,
                     (unsigned long long)s->frames_acked);
        return true;
    }
    retrap__drop(s, field[RETRAP__H_RECEIVED] - s->frames_acked);
    if (s->over) return true;
    s->out_sent = s->out_tail;
    for (at = s->out_tail; at < s->out_head; at += retrap__get(retrap__out_at(s, at)) & 0xffffffffu)
        retrap__stamp(retrap__out_at(s, at), s->received);
    s->unseen_frames = s->unseen_bytes = 0;
    retrap__say(s, "the session goes on");
    s->welcomed = true;
    if (!retrap__welcome(s, s->session)) retrap__lost(s);
    return true;
}

static uint64_t retrap__host_now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void retrap__set_now(retrap_server *s, uint64_t now)
{
    s->now = now;
    if (s->real_time) s->now_host = retrap__host_now();
}

/* Begins a session: tells the machine what there is. */
static void retrap__begin(retrap_server *s, uint64_t flags, uint64_t session, uint64_t now)
{
    size_t i;
    s->objects = s->lates = 0;
    memset(s->transfer, 0, sizeof s->transfer);
    s->direct = NULL;
    s->in_floor = s->in_head = s->in_scan = s->in_end = 0;
    s->out_tail = s->out_sent = s->out_head = 0;
    s->received = s->unseen_frames = s->unseen_bytes = s->frames_out = s->frames_acked = 0;
    s->ready = s->over = s->failed = false;
    s->opened = s->welcomed = true;
    s->session = session;
    s->real_time = (flags & 1) != 0;
    retrap__set_now(s, now);
    if (!retrap__welcome(s, 0)) {
        retrap__lost(s);
        if (s->over) return;
    }
    if (s->listens) retrap__say(s, "a machine is connected");
    s->busy = true;
    s->model->declare(s);
    retrap__send(s, RETRAP__READY);
    s->ready = true;
    if (s->sessions++ > 0 && s->model->reset != NULL)
        for (i = 0; i < s->objects; i++)
            if (s->object[i].kind == RETRAP__A_DEVICE) s->model->reset(s, s->object[i].id);
    s->busy = false;
    retrap__flush(s);
}

/* ---- Calls. ---- */

static bool retrap__is_there(retrap_server *s, const char *by, unsigned kind, uint64_t id)
{
    if (retrap__find(s, kind, id) != NULL) return true;
    retrap__fail(s, "a %s frame names %s %llu, which there is not", by, retrap__object_names[kind], (unsigned long long)id);
    return false;
}

static void retrap__access(retrap_server *s, const retrap__frame *frame)
{
    const uint64_t *field = frame->field;
    bool writes = frame->code == RETRAP__WRITE;
    const struct retrap__object *region;
    retrap_access access;
    uint64_t value = 0;
    if (!retrap__is_there(s, retrap__kind_of(frame->code)->name, RETRAP__A_REGION, field[1])) return;
    region = retrap__find(s, RETRAP__A_REGION, field[1]);
    access.call = field[0];
    access.device = region->device;
    access.region = field[1];
    access.offset = field[2];
    access.size = field[3];
    access.value = writes ? field[4] : 0;
    access.vcpu = field[writes ? 5 : 4];
    if ((access.size != 1 && access.size != 2 && access.size != 4 && access.size != 8) || access.offset > region->bytes ||
        access.size > region->bytes - access.offset) {
        retrap__fail(s, "an access of %llu bytes at offset 0x%llx of region %llu, which has 0x%llx",
                     (unsigned long long)access.size, (unsigned long long)access.offset, (unsigned long long)access.region,
                     (unsigned long long)region->bytes);
        return;
    }
    if (!writes && access.call == 0) {
        retrap__fail(s, "a read frame has call 0");
        return;
    }
    if (access.size < 8) access.value &= ((uint64_t)1 << (8 * access.size)) - 1;
    if (writes) {
        if (s->model->write != NULL) s->model->write(s, &access);
    } else {
        value = s->model->read != NULL ? s->model->read(s, &access) : UINT64_MAX;
    }
    if (!s->later && access.call != 0) retrap__send(s, RETRAP__ANSWER, access.call, value);
}

/* Whether the timer still has that deadline: a frame of the timer may cross one that moves it. It is off from now on. */
static bool retrap__is_due(retrap_server *s, uint64_t timer, uint64_t deadline)
{
    struct retrap__object *known = retrap__find(s, RETRAP__A_TIMER, timer);
    if (known == NULL || known->bytes != deadline) return false;
    known->bytes = RETRAP_NEVER;
    return true;
}

/* The machine has stopped the timers of a device. */
static void retrap__stop_timers(retrap_server *s, uint64_t device)
{
    size_t i;
    for (i = 0; i < s->objects; i++)
        if (s->object[i].kind == RETRAP__A_TIMER && s->object[i].device == device) s->object[i].bytes = RETRAP_NEVER;
}

static void retrap__call(retrap_server *s, const retrap__frame *frame)
{
    const retrap_model *model = s->model;
    const uint64_t *field = frame->field;
    const char *by = retrap__kind_of(frame->code)->name, *error = NULL;
    retrap_state state = {NULL, 0};
    bool is_timer = frame->code == RETRAP__TIMER;
    if (!retrap__is_there(s, by, is_timer ? (unsigned)RETRAP__A_TIMER : (unsigned)RETRAP__A_DEVICE, field[1])) return;
    switch (frame->code) {
    case RETRAP__TIMER:
        if (retrap__is_due(s, field[1], field[2]) && model->timer != NULL) model->timer(s, field[1], field[2]);
        break;
    case RETRAP__RESET:
        retrap__stop_timers(s, field[1]);
        if (model->reset != NULL) model->reset(s, field[1]);
        break;
    case RETRAP__PLUG:
        if (model->plug != NULL) model->plug(s, field[1]);
        break;
    case RETRAP__UNPLUG:
        retrap__stop_timers(s, field[1]);
        if (model->unplug != NULL) model->unplug(s, field[1]);
        break;
    case RETRAP__SAVE:
        error = "it does not save its state: its model has no `save`";
        if (model->save != NULL) error = model->save(s, field[1], &state);
        break;
    case RETRAP__RESTORE:
        retrap__stop_timers(s, field[1]);
        state.bytes = frame->bytes;
        state.length = (size_t)field[2];
        error = "it does not restore its state: its model has no `restore`";
        if (model->restore != NULL) error = model->restore(s, field[1], &state);
        state.length = 0;
        break;
    case RETRAP__QUIESCE:
        if (model->quiesce != NULL) error = model->quiesce(s, field[1], field[2]);
        break;
    case RETRAP__RESUME:
        if (model->resume != NULL) model->resume(s, field[1]);
        break;
    default:
        return;
    }
    if (!s->later)
        retrap__send(s, RETRAP__DONE, field[0], error, error == NULL ? state.bytes : NULL, error == NULL ? state.length : (size_t)0);
}

static void retrap__cancel(retrap_server *s, uint64_t call)
{
    size_t i;
    if (s->model->cancel == NULL) return;
    for (i = 0; i < s->lates; i++)
        if (s->late[i].call == call) {
            s->model->cancel(s, call);
            return;
        }
}

/* Handles the calls that have come. */
static void retrap__dispatch(retrap_server *s)
{
    s->busy = true;
    while (s->in_head < s->in_scan && !s->over) {
        retrap__frame frame;
        size_t length = (size_t)(retrap__get(s->in + s->in_head) & 0xffffffffu), last;
        if ((s->in[s->in_head + 4] | s->in[s->in_head + 5] << 8) == RETRAP__RESTORE) {
            /* Its bytes stay where they are while the callback reads them. */
            memmove(s->in, s->in + s->in_head, s->in_end - s->in_head);
            s->in_scan -= s->in_head;
            s->in_end -= s->in_head;
            s->in_head = 0;
            s->in_floor = length;
        }
        if (!retrap__decode(s, s->in + s->in_head, length, &frame)) break;
        s->in_head += length;
        last = strlen(retrap__kind_of(frame.code)->layout) - 1;
        if (retrap__kind_of(frame.code)->layout[last] == 'w') retrap__set_now(s, frame.field[last]);
        s->current = frame.field[0];
        s->current_kind = frame.code;
        s->later = false;
        if (frame.code == RETRAP__READ || frame.code == RETRAP__WRITE)
            retrap__access(s, &frame);
        else if (frame.code == RETRAP__CANCEL)
            retrap__cancel(s, frame.field[0]);
        else
            retrap__call(s, &frame);
        s->in_floor = 0;
        s->current_kind = 0;
    }
    s->busy = false;
}

/* ---- The interface. ---- */

/* Whether a device may act now. */
static bool retrap__may_act(retrap_server *s, const char *by)
{
    if (s->over || !s->opened) return false;
    if (!s->ready) retrap__fail(s, "%s before the devices are declared", by);
    return !s->over;
}

void retrap_add_device(retrap_server *s, const retrap_device *d)
{
    if (retrap__declare(s, RETRAP__A_DEVICE, d->device, 0, 0, 0))
        retrap__send(s, RETRAP__DEVICE, d->device, d->flags, d->name);
}

void retrap_add_range(retrap_server *s, const retrap_range *r)
{
    if (retrap__declare(s, RETRAP__A_REGION, r->region, RETRAP__A_DEVICE, r->device, r->bytes))
        retrap__send(s, RETRAP__RANGE, r->region, r->device, r->space, r->base, r->bytes, r->maximum, r->minimum, r->flags);
}

void retrap_add_function(retrap_server *s, const retrap_function *f)
{
    if (retrap__declare(s, RETRAP__A_FUNCTION, f->function, RETRAP__A_DEVICE, f->device, 0))
        retrap__send(s, RETRAP__FUNCTION, f->function, f->device, f->address, f->vendor, f->id, f->revision, f->class_code,
                     f->subsystem_vendor, f->subsystem, f->pin, f->flags, f->bus);
}

void retrap_add_bar(retrap_server *s, const retrap_bar *b)
{
    if (retrap__declare(s, RETRAP__A_REGION, b->region, RETRAP__A_FUNCTION, b->function, b->bytes))
        retrap__send(s, RETRAP__BAR, b->region, b->function, b->index, b->type, b->bytes, b->maximum, b->minimum, b->flags,
                     b->memory);
}

void retrap_add_msi(retrap_server *s, const retrap_msi *m)
{
    if (!s->over && retrap__named(s, "msi", RETRAP__A_FUNCTION, m->function) != NULL)
        retrap__send(s, RETRAP__MSI, m->function, m->vectors, m->flags);
}

void retrap_add_msix(retrap_server *s, const retrap_msix *m)
{
    if (!s->over && retrap__named(s, "msix", RETRAP__A_FUNCTION, m->function) != NULL)
        retrap__send(s, RETRAP__MSIX, m->function, m->vectors, m->bar, m->offset, m->pending);
}

void retrap_add_capability(retrap_server *s, const retrap_capability *c)
{
    if (!s->over && retrap__named(s, "capability", RETRAP__A_FUNCTION, c->function) != NULL)
        retrap__send(s, RETRAP__CAPABILITY, c->function, c->id, c->version, c->body, c->length, c->writable,
                     c->writable == NULL ? (size_t)0 : c->length);
}

void retrap_add_memory(retrap_server *s, const retrap_memory *m)
{
    if (retrap__declare(s, RETRAP__A_MEMORY, m->memory, RETRAP__A_DEVICE, m->device, m->bytes))
        retrap__send(s, RETRAP__MEMORY, m->memory, m->device, m->bytes, m->flags, m->name);
}

void retrap_add_window(retrap_server *s, const retrap_window *w)
{
    if (!s->over && retrap__named(s, "window", RETRAP__A_MEMORY, w->memory) != NULL)
        retrap__send(s, RETRAP__WINDOW, w->memory, w->base);
}

void retrap_add_line(retrap_server *s, const retrap_line *l)
{
    if (retrap__declare(s, RETRAP__A_LINE, l->line, RETRAP__A_DEVICE, l->device, 0))
        retrap__send(s, RETRAP__LINE, l->line, l->device, l->irq);
}

uint64_t retrap_now(const retrap_server *s)
{
    return s->real_time ? s->now + (retrap__host_now() - s->now_host) : s->now;
}

void retrap_arm_timer(retrap_server *s, uint64_t device, uint64_t timer, uint64_t deadline)
{
    struct retrap__object *known;
    if (!retrap__may_act(s, "retrap_arm_timer")) return;
    known = retrap__find(s, RETRAP__A_TIMER, timer);
    if (known == NULL) {
        if (!retrap__declare(s, RETRAP__A_TIMER, timer, RETRAP__A_DEVICE, device, deadline)) return;
    } else if (known->device != device) {
        retrap__fail(s, "retrap_arm_timer: timer %llu is device %llu's", (unsigned long long)timer,
                     (unsigned long long)known->device);
        return;
    } else {
        known->bytes = deadline;
    }
    retrap__send(s, RETRAP__ARM_TIMER, timer, device, deadline);
}

void retrap_interrupt(retrap_server *s, uint64_t function, uint64_t vector, bool level)
{
    if (retrap__may_act(s, "retrap_interrupt") && retrap__named(s, "retrap_interrupt", RETRAP__A_FUNCTION, function) != NULL)
        retrap__send(s, RETRAP__INTERRUPT, function, vector, (uint64_t)level);
}

void retrap_set_line(retrap_server *s, uint64_t line, bool level)
{
    if (retrap__may_act(s, "retrap_set_line") && retrap__named(s, "retrap_set_line", RETRAP__A_LINE, line) != NULL)
        retrap__send(s, RETRAP__SET_LINE, line, (uint64_t)level);
}

typedef struct {
    const char *by;
    unsigned read, write, owner_kind;
} retrap__mover;
static const retrap__mover retrap__guest = {"guest memory", RETRAP__DMA_READ, RETRAP__DMA_WRITE, RETRAP__A_DEVICE};
static const retrap__mover retrap__own = {"device memory", RETRAP__MEMORY_READ, RETRAP__MEMORY_WRITE, RETRAP__A_MEMORY};

/* Moves bytes to or from memory in pieces; with neither `into` nor `waits` nobody waits. */
static bool retrap__move(retrap_server *s, const retrap__mover *how, uint64_t owner, uint64_t address, void *into,
                         const void *from, size_t length, bool waits)
{
    size_t sent = 0, open = 0, i;
    bool ok = true;
    if (!retrap__may_act(s, how->by) || retrap__named(s, how->by, how->owner_kind, owner) == NULL) return false;
    /* A guest may have given any address: no memory is beyond what a frame holds. */
    if (address >> 53 != 0 || length > ((uint64_t)1 << 53) - 1 - address) return false;
    while (!s->over && (sent < length || open > 0)) {
        for (i = 0; i < RETRAP_PIECES; i++) {
            struct retrap__transfer *transfer = &s->transfer[i];
            size_t piece = length - sent < RETRAP_PIECE_BYTES ? length - sent : RETRAP_PIECE_BYTES;
            uint64_t call = 0;
            if (transfer->done) {
                ok = ok && transfer->ok;
                transfer->done = false;
                transfer->call = 0;
                open--;
            }
            if (piece == 0 || transfer->call != 0 || s->over) continue;
            if (waits) {
                call = transfer->call = ++s->last_transfer;
                transfer->into = into == NULL ? NULL : (uint8_t *)into + sent;
                transfer->length = into == NULL ? 0 : piece;
                open++;
            }
            if (into != NULL)
                retrap__send(s, how->read, call, owner, address + sent, (uint64_t)piece);
            else
                retrap__send(s, how->write, call, owner, address + sent, (const void *)((const uint8_t *)from + sent), piece);
            sent += piece;
        }
        if (open > 0) {
            s->waits = true;
            for (i = 0; i < RETRAP_PIECES && !s->transfer[i].done; i++) continue;
            if (i == RETRAP_PIECES) retrap__wait(s);
            s->waits = false;
        }
    }
    if (!s->over) return ok;
    memset(s->transfer, 0, sizeof s->transfer);
    s->direct = NULL;
    return false;
}

bool retrap_dma_read(retrap_server *s, uint64_t device, uint64_t address, void *into, size_t length)
{
    return retrap__move(s, &retrap__guest, device, address, into, NULL, length, true);
}

bool retrap_dma_write(retrap_server *s, uint64_t device, uint64_t address, const void *from, size_t length)
{
    return retrap__move(s, &retrap__guest, device, address, NULL, from, length, true);
}

void retrap_dma_post(retrap_server *s, uint64_t device, uint64_t address, const void *from, size_t length)
{
    retrap__move(s, &retrap__guest, device, address, NULL, from, length, false);
}

bool retrap_memory_read(retrap_server *s, uint64_t memory, uint64_t offset, void *into, size_t length)
{
    return retrap__move(s, &retrap__own, memory, offset, into, NULL, length, true);
}

bool retrap_memory_write(retrap_server *s, uint64_t memory, uint64_t offset, const void *from, size_t length)
{
    return retrap__move(s, &retrap__own, memory, offset, NULL, from, length, true);
}

void retrap_memory_post(retrap_server *s, uint64_t memory, uint64_t offset, const void *from, size_t length)
{
    retrap__move(s, &retrap__own, memory, offset, NULL, from, length, false);
}

uint64_t retrap_later(retrap_server *s)
{
    unsigned kind = s->current_kind;
    if (s->over || s->current == 0 || s->later || kind == 0 || kind == RETRAP__CANCEL || kind == RETRAP__SAVE ||
        kind == RETRAP__RESTORE)
        return 0;
    if (s->lates == RETRAP_MAX_LATE) {
        retrap__fail(s, "%u calls wait for an answer already: raise RETRAP_MAX_LATE", (unsigned)RETRAP_MAX_LATE);
        return 0;
    }
    s->later = true;
    s->late[s->lates].call = s->current;
    s->late[s->lates++].is_access = kind == RETRAP__READ || kind == RETRAP__WRITE;
    return s->current;
}

static bool retrap__take_late(retrap_server *s, uint64_t call, bool is_access)
{
    size_t i;
    for (i = 0; i < s->lates; i++)
        if (s->late[i].call == call && s->late[i].is_access == is_access) {
            s->late[i] = s->late[--s->lates];
            return !s->over;
        }
    return false;
}

bool retrap_answer(retrap_server *s, uint64_t call, uint64_t value)
{
    if (!retrap__take_late(s, call, true)) return false;
    retrap__send(s, RETRAP__ANSWER, call, value);
    return true;
}

bool retrap_done(retrap_server *s, uint64_t call, const char *error)
{
    if (!retrap__take_late(s, call, false)) return false;
    retrap__send(s, RETRAP__DONE, call, error, (const void *)NULL, (size_t)0);
    return true;
}

/* The bytes of the UTF-8 character there; 0: it is none. */
static size_t retrap__character(const char *text)
{
    unsigned lead = (unsigned char)text[0], low = 0x80, high = 0xbf;
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0, i;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (i = 1; i < length; i++) {
        unsigned next = (unsigned char)text[i];
        if (next < low || next > high) return 0;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

/* One line of UTF-8, which is not cut within a character. Bytes of the guest's may be in it: others become '?'. */
static void retrap__line_of(char *text, size_t room, const char *format, va_list arguments)
{
    int wanted = vsnprintf(text, room, format, arguments);
    size_t length = strlen(text), i;
    if (wanted >= (int)room) {
        while (length > 0 && ((unsigned char)text[length - 1] & 0xc0) == 0x80) length--;
        if (length > 0 && ((unsigned char)text[length - 1] & 0x80) != 0) length--;
    }
    while (length > 0 && text[length - 1] == '\n') length--;
    text[length] = '\0';
    for (i = 0; i < length;) {
        size_t character = retrap__character(text + i);
        if (character == 0) text[i] = '?';
        if (text[i] == '\n' || text[i] == '\r') text[i] = ' ';
        i += character == 0 ? 1 : character;
    }
}

void retrap_log(retrap_server *s, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    retrap__line_of(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!s->over && s->opened) retrap__send(s, RETRAP__LOG, text);
}

void retrap_fault(retrap_server *s, uint64_t device, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    retrap__line_of(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!s->over && s->opened && retrap__named(s, "retrap_fault", RETRAP__A_DEVICE, device) != NULL)
        retrap__send(s, RETRAP__FAULT, device, text);
}

void retrap_power_off(retrap_server *s)
{
    if (retrap__may_act(s, "retrap_power_off")) retrap__send(s, RETRAP__POWER_OFF);
}

void retrap_reset_machine(retrap_server *s)
{
    if (retrap__may_act(s, "retrap_reset_machine")) retrap__send(s, RETRAP__RESET_MACHINE);
}

void retrap_exit(retrap_server *s, uint32_t status)
{
    if (retrap__may_act(s, "retrap_exit")) retrap__send(s, RETRAP__EXIT, (uint64_t)status);
}

/* ---- Running. ---- */

/* Listens on a path. A socket that a server before has left there is replaced. */
static int retrap__listen_unix(retrap_server *s, const char *path, char *error, size_t room)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), tries;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (*path == '\0' || strlen(path) >= sizeof address.sun_path || strlen(path) >= sizeof s->unix_path) {
        snprintf(error, room, "'%s': expected a path of at most %u bytes", path, (unsigned)sizeof address.sun_path - 1);
        if (fd >= 0) close(fd);
        return -1;
    }
    strcpy(address.sun_path, path);
    for (tries = 0; fd >= 0 && tries < 2; tries++) {
        if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0) {
            strcpy(s->unix_path, path);
            return fd;
        }
        if (errno == EADDRINUSE && tries == 0) {
            int other = socket(AF_UNIX, SOCK_STREAM, 0);
            bool left = connect(other, (const struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
            close(other);
            if (left && unlink(path) == 0) continue;
            errno = EADDRINUSE;
        }
        break;
    }
    snprintf(error, room, "%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

static int retrap__listen_tcp(const char *address, char *error, size_t room)
{
    char host[256], port[16];
    const char *colon = strrchr(address, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - address);
    struct addrinfo hints, *found = NULL, *each;
    int fd = -1, on = 1, status;
    if (colon == NULL || length == 0 || length >= sizeof host || strlen(colon + 1) >= sizeof port) {
        snprintf(error, room, "'%s': expected HOST:PORT", address);
        return -1;
    }
    /* [::1]:9000 */
    if (address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    strcpy(port, colon + 1);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    status = getaddrinfo(host, port, &hints, &found);
    if (status != 0) {
        snprintf(error, room, "%.100s: %.60s", host, gai_strerror(status));
        return -1;
    }
    for (each = found; each != NULL && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
        if (fd < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, each->ai_addr, each->ai_addrlen) == 0 && listen(fd, 8) == 0) break;
        status = errno;
        close(fd);
        errno = status;
        fd = -1;
    }
    freeaddrinfo(found);
    if (fd < 0) snprintf(error, room, "%.100s:%s: %.60s", host, port, strerror(errno));
    return fd;
}

/* The port that a listening socket has, which may have been chosen by the host. */
static unsigned retrap__port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) return 0;
    if (address.ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &address, sizeof in);
        return ntohs(in.sin_port);
    } else {
        struct sockaddr_in6 in;
        memcpy(&in, &address, sizeof in);
        return ntohs(in.sin6_port);
    }
}

bool retrap_open(retrap_server *s, const retrap_model *model, const char *address)
{
    const char *descriptor = getenv("RETRAP_DEVICE_FD"), *trace = getenv("RETRAP_DEVICE_TRACE");
    char error[200] = "";
    int type;
    socklen_t length = sizeof type;
    memset(s, 0, offsetof(retrap_server, in));
    s->model = model;
    s->in_fd = s->out_fd = s->listen_fd = s->next_fd = -1;
    s->trace = trace != NULL && *trace != '\0' && *trace != '0';
    if (model->name == NULL || model->declare == NULL) {
        fprintf(stderr, "retrap_model: expected a name and `declare`\n");
        s->over = s->failed = true;
        return false;
    }
    if (descriptor != NULL && *descriptor != '\0') {
        char *end;
        long fd = strtol(descriptor, &end, 10);
        if (*end != '\0' || fd < 0 || fd > 1 << 20 || fcntl((int)fd, F_GETFD) < 0)
            snprintf(error, sizeof error, "RETRAP_DEVICE_FD is '%s': expected an open descriptor", descriptor);
        else
            s->in_fd = s->out_fd = (int)fd;
    } else if (address != NULL && (strcmp(address, "stdio") == 0 || strcmp(address, "-") == 0)) {
        /* The model's own output goes to stderr. */
        s->in_fd = dup(0);
        s->out_fd = dup(1);
        if (s->in_fd < 0 || s->out_fd < 0 || dup2(2, 1) < 0) snprintf(error, sizeof error, "stdio: %s", strerror(errno));
    } else if (address != NULL && strncmp(address, "unix:", 5) == 0) {
        s->listen_fd = retrap__listen_unix(s, address + 5, error, sizeof error);
    } else if (address != NULL && strncmp(address, "tcp:", 4) == 0) {
        s->listen_fd = retrap__listen_tcp(address + 4, error, sizeof error);
    } else {
        snprintf(error, sizeof error, "%s%s%s: expected unix:PATH, tcp:HOST:PORT or stdio, or RETRAP_DEVICE_FD as set by "
                 "`retrap run --device exec:...`", address == NULL ? "no address" : "'", address == NULL ? "" : address,
                 address == NULL ? "" : "'");
    }
    if (*error != '\0') {
        snprintf(s->error, sizeof s->error, "%s", error);
        retrap__say(s, error);
        s->over = s->failed = true;
        return false;
    }
    s->listens = s->listen_fd >= 0;
    if (s->listens) {
        s->is_socket = true;
        fcntl(s->listen_fd, F_SETFD, FD_CLOEXEC);
        /* A connection that goes before it is taken would make accept wait. */
        fcntl(s->listen_fd, F_SETFL, fcntl(s->listen_fd, F_GETFL) | O_NONBLOCK);
        if (strncmp(address, "tcp:", 4) == 0) {
            const char *colon = strrchr(address, ':');
            fprintf(stderr, "%s: listens on %.*s:%u\n", model->name, (int)(colon - address), address,
                    retrap__port_of(s->listen_fd));
        } else {
            fprintf(stderr, "%s: listens on %s\n", model->name, address);
        }
        return true;
    }
    s->is_socket = s->in_fd == s->out_fd && getsockopt(s->in_fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
    if (s->is_socket) {
        retrap__tune(s, s->in_fd);
    } else {
        fcntl(s->in_fd, F_SETFD, FD_CLOEXEC);
        fcntl(s->out_fd, F_SETFD, FD_CLOEXEC);
        fcntl(s->out_fd, F_SETFL, fcntl(s->out_fd, F_GETFL) | O_NONBLOCK);
        signal(SIGPIPE, SIG_IGN);
    }
    return true;
}

/* Makes sure of a connection. @return whether there is one */
static bool retrap__connect(retrap_server *s, bool wait)
{
    uint64_t field[RETRAP__H_FIELDS];
    char error[200];
    int greeted;
    if (s->welcomed) return true;
    if (s->next_fd < 0) {
        if (retrap__ready(s->listens ? s->listen_fd : s->in_fd, POLLIN, wait ? -1 : 0) <= 0) return false;
        if (s->listens) retrap__newcomer(s);
    }
    if (s->listens) {
        if (s->next_fd >= 0) {
            retrap__hang_up(s);
            s->in_fd = s->out_fd = s->next_fd;
            s->next_fd = -1;
            retrap__begin(s, s->next_flags, s->next_session, s->next_now);
        }
        return s->welcomed;
    }
    greeted = retrap__hello(s, s->in_fd, field, error, sizeof error);
    if (greeted > 0) {
        retrap__begin(s, field[RETRAP__H_FLAGS], field[RETRAP__H_SESSION], field[RETRAP__H_NOW]);
    } else if (greeted < 0) {
        retrap__fail(s, "%s", error);
    } else {
        s->over = true;
    }
    return s->welcomed;
}

static int retrap__turn(retrap_server *s, bool wait)
{
    if (s->busy) return 1;
    if (!s->stopped && (!s->over || s->listens) && retrap__connect(s, wait)) {
        retrap__dispatch(s);
        if (wait) {
            retrap__wait(s);
        } else {
            retrap__flush(s);
            if (s->welcomed) retrap__take(s, false);
        }
        retrap__dispatch(s);
        if (!wait) retrap__flush(s);
    }
    if (s->stopped) return 0;
    if (s->listens || !s->over) return 1;
    return s->failed ? -1 : 0;
}

int retrap_step(retrap_server *s)
{
    return retrap__turn(s, false);
}

int retrap_poll(retrap_server *s, int milliseconds)
{
    struct pollfd polled[2];
    retrap__flush(s);
    polled[0].fd = s->in_fd;
    polled[1].fd = s->listen_fd;
    polled[0].events = polled[1].events = POLLIN;
    polled[0].revents = polled[1].revents = 0;
    if (s->in_head == s->in_scan && !s->stopped && poll(polled, 2, milliseconds) > 0 && polled[1].revents != 0 &&
        polled[0].revents == 0 && s->welcomed)
        retrap__newcomer(s);
    return retrap__turn(s, false);
}

int retrap_fd(const retrap_server *s)
{
    return s->in_fd >= 0 ? s->in_fd : s->listen_fd;
}

void retrap_stop(retrap_server *s, const char *why)
{
    retrap__flush(s);
    s->stopped = s->over = true;
    if (s->welcomed) retrap__bye(s, s->out_fd, why == NULL ? "" : why);
    retrap__hang_up(s);
}

void retrap_close(retrap_server *s)
{
    retrap__hang_up(s);
    if (s->next_fd >= 0) close(s->next_fd);
    if (s->listen_fd >= 0) close(s->listen_fd);
    if (s->unix_path[0] != '\0') unlink(s->unix_path);
    s->next_fd = s->listen_fd = -1;
    s->unix_path[0] = '\0';
    s->over = s->stopped = true;
}

const char *retrap_error(const retrap_server *s)
{
    return s->error;
}

void *retrap_user(const retrap_server *s)
{
    return s->model->user;
}

int retrap_run(const retrap_model *model, const char *address)
{
    static retrap_server server;
    int status;
    if (!retrap_open(&server, model, address)) return 2;
    while ((status = retrap__turn(&server, true)) > 0) continue;
    retrap_close(&server);
    return status < 0 ? 1 : 0;
}

#ifdef __cplusplus
}
#endif
#endif /* RETRAP_DEVICE_IMPLEMENTED */
#endif /* RETRAP_DEVICE_IMPLEMENTATION */

/*
 * MIT License
 *
 * Copyright (c) the retrap authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
 * documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
 * rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
 * persons to whom the Software is furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
 * Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
 * WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
 * COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
 * OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 */
