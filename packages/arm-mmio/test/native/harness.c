// Runs instructions on the processor (or on qemu-user): cases on standard input, results on standard output.
// One case: two instruction slots, the registers, a window of memory. Freestanding: no C library is needed.
#include <stdint.h>

#define WINDOW 1024
#define DATA ((uint8_t *)0x10000000)
#define WINDOW_START (DATA + 4096 - WINDOW / 2)

#ifdef __aarch64__
struct state {
  uint64_t x[31];
  uint64_t sp;
  uint64_t nzcv;
  uint64_t v[64];
};
#define SYS_READ 63
#define SYS_WRITE 64
#define SYS_EXIT 93
#define SYS_MMAP 222
static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 asm("x8") = n, x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c, x3 asm("x3") = d,
                x4 asm("x4") = e, x5 asm("x5") = f;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
struct state {
  uint32_t r[15];
  uint32_t cpsr;
  uint64_t d[32];
};
#define SYS_READ 3
#define SYS_WRITE 4
#define SYS_EXIT 1
#define SYS_MMAP 192
static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long r7 asm("r7") = n, r0 asm("r0") = a, r1 asm("r1") = b, r2 asm("r2") = c, r3 asm("r3") = d,
                r4 asm("r4") = e, r5 asm("r5") = f;
  asm volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
  return r0;
}
#endif

static void synchronise(uint32_t *from, uint32_t *to) {
#ifdef __aarch64__
  for (char *p = (char *)from; p < (char *)to; p += 4) asm volatile("dc cvau, %0; dsb ish; ic ivau, %0" ::"r"(p) : "memory");
  asm volatile("dsb ish; isb" ::: "memory");
#else
  call(0xf0002, (long)from, (long)to, 0, 0, 0, 0);
#endif
}

struct test {
  uint32_t code[2];
  struct state state;
  uint8_t window[WINDOW];
};

extern struct state current;
extern uint32_t slots[], slots_thumb[];
void execute(void);
static struct test test;

static void all(long number, int fd, void *at, long size) {
  char *p = at;
  while (size > 0) {
    long n = call(number, fd, (long)p, size, 0, 0, 0);
    if (n <= 0) call(SYS_EXIT, number == SYS_READ && p == at ? 0 : 1, 0, 0, 0, 0, 0);
    p += n;
    size -= n;
  }
}

static void copy(void *to, const void *from, long size) {
  volatile uint8_t *t = to;
  const uint8_t *f = from;
  for (long i = 0; i < size; i++) t[i] = f[i];
}

void run(void) {
  call(SYS_MMAP, (long)DATA, 0x4000, 3, 0x32, -1, 0);
  for (;;) {
    all(SYS_READ, 0, &test, sizeof test);
    copy(&current, &test.state, sizeof current);
    copy(WINDOW_START, test.window, WINDOW);
    slots[0] = test.code[0];
    slots[1] = test.code[1];
    synchronise(slots, slots + 2);
#ifndef __aarch64__
    slots_thumb[0] = test.code[0];
    slots_thumb[1] = test.code[1];
    synchronise(slots_thumb, slots_thumb + 2);
#endif
    execute();
    copy(&test.state, &current, sizeof current);
    copy(test.window, WINDOW_START, WINDOW);
    all(SYS_WRITE, 1, &test, sizeof test);
  }
}
