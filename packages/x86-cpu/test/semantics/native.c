/*
 * Runs single instructions on the host CPU: the reference of the semantics check.
 *
 * Cases come on stdin, results go to stdout; native.ts has the layout of both. Every case is entered by sigreturn and left
 * by a signal: its code is followed by INT3 bytes, so that the instruction after it, or whatever it faults with, traps, and
 * the signal frame holds all registers, the x87 and SSE state included. Nothing has to be written in assembly, and an
 * instruction may change any register, RSP and RIP too.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <elf.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>
#include <stdlib.h>

#define WINDOW 0x10000000ul
#define WINDOW_BYTES 0x2000
#define BAND_OFFSET 0xf00
#define BAND_BYTES 0x200
#define CODE 0x20000000ul
#define FX_BYTES 416
#define YMM_BYTES 256
/* Where they are in an XSAVE area that is not compacted (CPUID leaf DH). */
#define YMM_OFFSET 576
#define CS_16 0x0f
#define DATA_16 0x17
#define READ_ONLY_16 0x1f
#define CS_32 0x23
#define CS_64 0x33
/* Of the local descriptor table, and beyond it. */
#define NO_SELECTOR 0xffff

#define KEEP_GPR 1
#define KEEP_VECTORS 2
#define KEEP_BAND 4

struct input {
  uint32_t rip;
  /* What DS and ES hold is in `data`. */
  uint16_t cs, data;
  uint32_t rflags, keep;
  uint64_t gpr[16];
  uint8_t fx[FX_BYTES], ymm[YMM_BYTES], band[BAND_BYTES];
};
struct output {
  uint32_t vector, error;
  uint64_t cr2, rip, rflags, gpr[16];
  uint32_t outside, cs;
  uint64_t fs_base, gs_base;
  /* SS, DS, ES, FS, GS. */
  uint16_t segments[8];
  uint8_t fx[FX_BYTES], ymm[YMM_BYTES], band[BAND_BYTES];
};

static struct input *inputs;
static struct output *outputs;
static uint32_t count;
static int64_t current = -1;
static int has_fsgsbase, has_avx, refuses_16, refuses_32, refuses_64;

/* Position of RAX RCX RDX RBX RSP RBP RSI RDI R8...R15 in a signal frame. */
static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* libc's own would set errno through FS, which no longer is what it was. */
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

static void finish(void) {
  char *at = (char *)outputs;
  size_t left = (size_t)count * sizeof *outputs;
  while (left > 0) {
    long written = call(SYS_write, 1, (long)at, (long)left);
    if (written <= 0) call(SYS_exit_group, 3, 0, 0);
    at += written;
    left -= (size_t)written;
  }
  call(SYS_exit_group, 0, 0, 0);
}

static void set_data_segments(int selector) {
  __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" ::"r"(selector));
}

static void reset_segments(void) {
  uint16_t ds, es, fs, gs;
  __asm__ volatile("mov %%ds, %0\n\tmov %%es, %1\n\tmov %%fs, %2\n\tmov %%gs, %3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
  if (ds != 0x2b || es != 0x2b) set_data_segments(0x2b);
  if (fs != 0) __asm__ volatile("mov %0, %%fs" ::"r"(0));
  if (gs != 0) __asm__ volatile("mov %0, %%gs" ::"r"(0));
  if (has_fsgsbase) {
    uint64_t base;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    if (base != 0) __asm__ volatile("wrfsbase %0" ::"r"(0ul));
    __asm__ volatile("rdgsbase %0" : "=r"(base));
    if (base != 0) __asm__ volatile("wrgsbase %0" ::"r"(0ul));
  } else {
    call(SYS_arch_prctl, ARCH_SET_FS, 0, 0);
    call(SYS_arch_prctl, ARCH_SET_GS, 0, 0);
  }
}

static void set_vectors(uint8_t *fx, const struct input *in) {
  memcpy(fx, in->fx, FX_BYTES);
  /* The header of the XSAVE area says which parts of the frame are restored. */
  uint32_t magic;
  memcpy(&magic, fx + 464, 4);
  if (magic == 0x46505853) {
    uint64_t parts;
    memcpy(&parts, fx + 512, 8);
    parts |= has_avx ? 7 : 3;
    memcpy(fx + 512, &parts, 8);
    if (has_avx) memcpy(fx + YMM_OFFSET, in->ymm, YMM_BYTES);
  }
}

static void handler(int signal, siginfo_t *info, void *context) {
  ucontext_t *u = context;
  greg_t *g = u->uc_mcontext.gregs;
  uint8_t *fx = (uint8_t *)u->uc_mcontext.fpregs;
  (void)signal;
  (void)info;
  if (current >= 0) {
    struct output *o = &outputs[current];
    o->vector = (uint32_t)g[REG_TRAPNO];
    o->error = (uint32_t)g[REG_ERR];
    o->cr2 = (uint64_t)g[REG_CR2];
    o->rip = (uint64_t)g[REG_RIP];
    o->rflags = (uint64_t)g[REG_EFL];
    for (int i = 0; i < 16; i++) o->gpr[i] = (uint64_t)g[order[i]];
    o->cs = (uint32_t)(g[REG_CSGSFS] & 0xffff);
    o->segments[0] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
    __asm__ volatile("mov %%ds, %0\n\tmov %%es, %1\n\tmov %%fs, %2\n\tmov %%gs, %3"
                     : "=r"(o->segments[1]), "=r"(o->segments[2]), "=r"(o->segments[3]), "=r"(o->segments[4]));
    if (has_fsgsbase) {
      __asm__ volatile("rdfsbase %0" : "=r"(o->fs_base));
      __asm__ volatile("rdgsbase %0" : "=r"(o->gs_base));
    } else {
      call(SYS_arch_prctl, ARCH_GET_FS, (long)&o->fs_base, 0);
      call(SYS_arch_prctl, ARCH_GET_GS, (long)&o->gs_base, 0);
    }
    memcpy(o->fx, fx, FX_BYTES);
    /* Without AVX nothing can change what there would be. */
    if (!has_avx) memcpy(o->ymm, inputs[current].ymm, YMM_BYTES);
    else if ((fx[512] & 4) != 0) memcpy(o->ymm, fx + YMM_OFFSET, YMM_BYTES);
    memcpy(o->band, (void *)(WINDOW + BAND_OFFSET), BAND_BYTES);
    const uint64_t *w = (const uint64_t *)WINDOW;
    uint64_t sum = 0;
    for (int i = 0; i < WINDOW_BYTES / 8; i++)
      if (i < BAND_OFFSET / 8 || i >= (BAND_OFFSET + BAND_BYTES) / 8) sum |= w[i];
    o->outside = sum != 0;
    if (sum != 0) {
      memset((void *)WINDOW, 0, WINDOW_BYTES);
      memcpy((void *)(WINDOW + BAND_OFFSET), o->band, BAND_BYTES);
    }
    reset_segments();
  }
  current++;
  if (current >= count) finish();
  struct input *in = &inputs[current];
  if ((in->keep & KEEP_GPR) == 0)
    for (int i = 0; i < 16; i++) g[order[i]] = (greg_t)in->gpr[i];
  g[REG_RIP] = in->rip;
  g[REG_EFL] = (greg_t)in->rflags;
  uint64_t stack = in->cs == CS_16 ? DATA_16 : 0x2b;
  int refused = (refuses_16 && in->cs == CS_16) || (refuses_32 && in->cs == CS_32) || (refuses_64 && in->cs == CS_64);
  g[REG_CSGSFS] = (greg_t)((uint64_t)(refused ? NO_SELECTOR : in->cs) | stack << 48);
  if (in->data != 0x2b) set_data_segments(in->data);
  if ((in->keep & KEEP_VECTORS) == 0) set_vectors(fx, in);
  if ((in->keep & KEEP_BAND) == 0) memcpy((void *)(WINDOW + BAND_OFFSET), in->band, BAND_BYTES);
}

/* 64 KiB segments with 16-bit defaults. Where the kernel has no local descriptor tables, code that asks for them faults. */
static void set_descriptors(void) {
  struct user_desc code = {.entry_number = CS_16 >> 3, .base_addr = CODE, .limit = 0xffff, .contents = 2};
  struct user_desc data = {.entry_number = DATA_16 >> 3, .base_addr = WINDOW, .limit = 0xffff, .contents = 0};
  struct user_desc constants = data;
  constants.entry_number = READ_ONLY_16 >> 3;
  constants.read_exec_only = 1;
  syscall(SYS_modify_ldt, 1, &code, sizeof code);
  syscall(SYS_modify_ldt, 1, &data, sizeof data);
  syscall(SYS_modify_ldt, 1, &constants, sizeof constants);
}

static void read_all(void *into, size_t bytes) {
  char *at = into;
  while (bytes > 0) {
    ssize_t got = read(0, at, bytes);
    if (got <= 0) _exit(2);
    at += got;
    bytes -= (size_t)got;
  }
}

/* Whether the arguments name what is to be missing, as it is on other hosts. */
static int is_without(char **argv, const char *what) {
  while (*++argv != 0)
    if (strcmp(*argv, what) == 0) return 1;
  return 0;
}

int main(int argc, char **argv) {
  (void)argc;
  set_descriptors();
  refuses_16 = is_without(argv, "16-bit code");
  refuses_32 = is_without(argv, "32-bit code");
  refuses_64 = is_without(argv, "64-bit code");
  uint32_t header[4];
  read_all(header, sizeof header);
  count = header[2];
  size_t code_bytes = (header[1] + 0xfffu) & ~0xffful;
  void *window = mmap((void *)WINDOW, WINDOW_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  void *code = mmap((void *)CODE, code_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (window != (void *)WINDOW || code != (void *)CODE) return 4;
  memset(code, 0xcc, code_bytes);
  read_all(code, header[1]);
  if (mprotect(code, code_bytes, PROT_READ | PROT_EXEC) != 0) return 4;
  inputs = mmap(0, (size_t)count * sizeof *inputs, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  outputs = mmap(0, (size_t)count * sizeof *outputs, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (inputs == MAP_FAILED || outputs == MAP_FAILED) return 4;
  read_all(inputs, (size_t)count * sizeof *inputs);

  static uint8_t stack[1 << 16];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, 0);
  has_fsgsbase = (getauxval(AT_HWCAP2) & 2) != 0 && !is_without(argv, "FSGSBASE");
  has_avx = __builtin_cpu_supports("avx") && !is_without(argv, "AVX");
  /* A LOCK across a cache line can take many seconds where the host of a virtual machine delays them. */
  alarm(60);
  set_data_segments(0x2b);
  /* From here on FS and GS have base 0, as in the tested CPU: no thread-local storage. */
  call(SYS_arch_prctl, ARCH_SET_FS, 0, 0);
  call(SYS_arch_prctl, ARCH_SET_GS, 0, 0);
  __asm__ volatile("int3");
  return 5;
}
