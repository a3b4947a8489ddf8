// Runs instructions on the processor (or on qemu-user): cases on standard input, results on standard output.
// First the numbers of cases and of words of code in each, then these words of each and its PSTATE, then registers and a window of memory of each. Freestanding: no C library is needed.
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
  uint64_t fpcr;
  uint64_t fpsr;
  // Where the case has faulted, and the address that it has accessed there; else 0.
  uint64_t fault;
  uint64_t fault_address;
};
#define SYS_SIGALTSTACK 132
#define SYS_SIGACTION 134
// SA_SIGINFO, SA_ONSTACK and SA_NODEFER.
#define ACTION_FLAGS 0x48000004
// Of the program counter in a ucontext.
#define CONTEXT_PC 440
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
  uint32_t fpscr;
  uint32_t unused;
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
  struct state state;
  uint8_t window[WINDOW];
};

extern struct state current;
extern char finish[];
void execute(void *at);
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

// Each case's code has a place of its own, filled before anything runs: code that changes costs an emulator dearly.
#ifdef __aarch64__
// Within reach of a branch to the program.
#define STUBS ((uint32_t *)0x2000000)
#else
#define STUBS ((uint32_t *)0x20000000)
#endif
#define MOST_WORDS 256

static void place(uint32_t *at, const uint32_t *code, uint32_t words) {
#ifdef __aarch64__
  at[0] = 0xd53bd05e; // mrs x30, tpidr_el0
  for (uint32_t i = 0; i < words; i++) at[1 + i] = code[i];
  at += 1 + words;
  at[0] = 0x14000000 | (((uint32_t)((long)finish - (long)at) >> 2) & 0x3ffffff); // b finish
#else
  int thumb = code[words] >> 5 & 1;
  at[0] = thumb ? 0xef50ee1d : 0xee1def50; // mrc p15, 0, lr, c13, c0, 2
  for (uint32_t i = 0; i < words; i++) at[1 + i] = code[i];
  at += 1 + words;
  if (thumb) *at++ = 0x46c04778; // bx pc; nop
  at[0] = 0xe51ff004; // ldr pc, [pc, #-4]
  at[1] = (uint32_t)finish;
#endif
}

#ifdef __aarch64__
// A case that faults ends there.
static void on_signal(int number, const uint64_t *info, uint64_t *context) {
  current.fault = context[CONTEXT_PC / 8];
  if (number == 11 || number == 7) current.fault_address = info[2];
  context[CONTEXT_PC / 8] = (uint64_t)finish;
}

static void catch_faults(void) {
  static uint8_t signal_stack[1 << 16];
  uint64_t stack[3] = {(uint64_t)signal_stack, 0, sizeof signal_stack};
  call(SYS_SIGALTSTACK, (long)stack, 0, 0, 0, 0, 0);
  uint64_t action[4] = {(uint64_t)on_signal, ACTION_FLAGS, 0, 0};
  const int numbers[4] = {4, 5, 7, 11};
  for (int i = 0; i < 4; i++) call(SYS_SIGACTION, numbers[i], (long)action, 0, 8, 0, 0);
}
#else
static void catch_faults(void) {}
#endif

void run(void) {
  uint32_t header[2];
  uint32_t code[MOST_WORDS + 1];
  call(SYS_MMAP, (long)DATA, 0x4000, 3, 0x32, -1, 0);
  all(SYS_READ, 0, header, 8);
  uint32_t count = header[0], words = header[1] & 0x7fffffff;
  if (header[1] != words) catch_faults();
  if (words > MOST_WORDS) call(SYS_EXIT, 1, 0, 0, 0, 0, 0);
  // Two words around it that lead to it and from it, and two more of Thumb.
  uint32_t stub = words + 4;
  long bytes = ((long)count * stub * 4 + 4095) & ~4095L;
  call(SYS_MMAP, (long)STUBS, bytes, 7, 0x32, -1, 0);
  for (uint32_t i = 0; i < count; i++) {
    all(SYS_READ, 0, code, 4 * (words + 1));
    place(STUBS + i * stub, code, words);
  }
  synchronise(STUBS, STUBS + count * stub);
  for (uint32_t i = 0; i < count; i++) {
    all(SYS_READ, 0, &test, sizeof test);
    copy(&current, &test.state, sizeof current);
    copy(WINDOW_START, test.window, WINDOW);
#ifdef __aarch64__
    execute(STUBS + i * stub);
#else
    execute((char *)(STUBS + i * stub) + (current.cpsr >> 5 & 1));
#endif
    copy(&test.state, &current, sizeof current);
    copy(test.window, WINDOW_START, WINDOW);
    all(SYS_WRITE, 1, &test, sizeof test);
  }
  call(SYS_EXIT, 0, 0, 0, 0, 0, 0);
}
