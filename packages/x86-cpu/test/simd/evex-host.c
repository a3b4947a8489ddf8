/*
 * Executes single instructions with EVEX on the processor this runs on. Reads cases of 2,560 bytes from standard input and
 * writes each back as the instruction left it, after a fault too. Layout, as evex-cases.ts has it:
 *
 *   0     ZMM0 ... ZMM31            2048  K0 ... K7           2112  RAX ... R15 (RBX, RSP, RBP, R15: not loaded)
 *   2240  MXCSR, 4 bytes            2244  signal number       2248  RFLAGS
 *   2256  length, bytes of the code, at most 16
 *   2304  256 bytes of memory: RBX points behind the last of them, where a page begins that cannot be accessed
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define SIZE 2560
#define MEMORY 2304

void run_case(uint8_t *state, void *code, void *memory);

#define EACH(X) \
  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) \
  X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define LOAD(n) " vmovdqu64 64*" #n "(%r15),%zmm" #n "\n"
#define SAVE(n) " vmovdqu64 %zmm" #n ",64*" #n "(%r15)\n"

__asm__(".globl run_case\n"
        "run_case:\n"
        " push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rdi,%r15\n mov %rdx,%rbx\n mov %rsi,%rbp\n" EACH(LOAD)
        " kmovq 2048(%r15),%k0\n kmovq 2056(%r15),%k1\n kmovq 2064(%r15),%k2\n kmovq 2072(%r15),%k3\n"
        " kmovq 2080(%r15),%k4\n kmovq 2088(%r15),%k5\n kmovq 2096(%r15),%k6\n kmovq 2104(%r15),%k7\n"
        " ldmxcsr 2240(%r15)\n push 2248(%r15)\n popf\n"
        " mov 2112(%r15),%rax\n mov 2120(%r15),%rcx\n mov 2128(%r15),%rdx\n mov 2160(%r15),%rsi\n"
        " mov 2168(%r15),%rdi\n mov 2176(%r15),%r8\n mov 2184(%r15),%r9\n mov 2192(%r15),%r10\n"
        " mov 2200(%r15),%r11\n mov 2208(%r15),%r12\n mov 2216(%r15),%r13\n mov 2224(%r15),%r14\n"
        " call *%rbp\n"
        " mov %rax,2112(%r15)\n mov %rcx,2120(%r15)\n mov %rdx,2128(%r15)\n mov %rsi,2160(%r15)\n"
        " mov %rdi,2168(%r15)\n mov %r8,2176(%r15)\n mov %r9,2184(%r15)\n mov %r10,2192(%r15)\n"
        " mov %r11,2200(%r15)\n mov %r12,2208(%r15)\n mov %r13,2216(%r15)\n mov %r14,2224(%r15)\n"
        " pushf\n pop 2248(%r15)\n stmxcsr 2240(%r15)\n" EACH(SAVE)
        " kmovq %k0,2048(%r15)\n kmovq %k1,2056(%r15)\n kmovq %k2,2064(%r15)\n kmovq %k3,2072(%r15)\n"
        " kmovq %k4,2080(%r15)\n kmovq %k5,2088(%r15)\n kmovq %k6,2096(%r15)\n kmovq %k7,2104(%r15)\n"
        " vzeroall\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

static sigjmp_buf fault;
static uint8_t state[SIZE] __attribute__((aligned(64)));

/* State components of XSAVE. Processors differ in where their area has them: CPUID leaf 0DH says it. */
enum { AVX = 2, OPMASK = 5, ZMM_HI256 = 6, HI16_ZMM = 7 };
static unsigned offsets[HI16_ZMM + 1];

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  const uint8_t *area = (const uint8_t *)((ucontext_t *)context)->uc_mcontext.fpregs;
  for (int i = 0; i < 16; i++) {
    memcpy(state + 64 * i, area + 160 + 16 * i, 16);
    memcpy(state + 64 * i + 16, area + offsets[AVX] + 16 * i, 16);
    memcpy(state + 64 * i + 32, area + offsets[ZMM_HI256] + 32 * i, 32);
  }
  memcpy(state + 1024, area + offsets[HI16_ZMM], 1024);
  memcpy(state + 2048, area + offsets[OPMASK], 64);
  memcpy(state + 2240, area + 24, 4);
  siglongjmp(fault, number);
}

int main(void) {
  for (unsigned i = AVX, eax, ecx, edx; i <= HI16_ZMM; i++)
    if (!__get_cpuid_count(0xd, i, &eax, &offsets[i], &ecx, &edx)) return 1;
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint8_t *memory = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED || memory == MAP_FAILED || mprotect(memory + 4096, 4096, PROT_NONE) != 0) return 1;
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  for (const int *number = (const int[]){SIGSEGV, SIGBUS, SIGILL, SIGFPE, 0}; *number != 0; number++)
    sigaction(*number, &action, 0);
  while (fread(state, SIZE, 1, stdin) == 1) {
    memcpy(code, state + 2257, state[2256]);
    code[state[2256]] = 0xc3;
    memcpy(memory + 4096 - 256, state + MEMORY, 256);
    int number = sigsetjmp(fault, 1);
    if (number == 0) run_case(state, code, memory + 4096);
    memcpy(state + 2244, &number, 4);
    memcpy(state + MEMORY, memory + 4096 - 256, 256);
    fwrite(state, SIZE, 1, stdout);
  }
  return 0;
}
