/*
 * Asks the processor what is an instruction. Reads items of 16 bytes, 15 of code and their number, runs each in front of INT3, and
 * writes a byte for each: 0 for #UD, the instruction's length if it went on to the INT3 behind it, 255 for another fault.
 *
 * Only for code that neither branches nor writes far from where the registers point: VEX and EVEX with short displacements.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { SCRATCH_BYTES = 1 << 20, STACK_BYTES = 1 << 17 };

static uint8_t *code;
uint8_t *scratch;
uint64_t saved_stack;
static volatile uint8_t outcome;

void run_code(uint8_t *start);
extern char run_end[];

/* All general registers but RSP point into the middle of the scratch memory, vectors are 0, masks are all ones. */
__asm__("run_code:\n"
        " push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rsp, saved_stack(%rip)\n push %rdi\n mov scratch(%rip), %rax\n"
        " .irp r, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15\n mov %rax, %\\r\n .endr\n"
        " .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        " vpxord %zmm\\n, %zmm\\n, %zmm\\n\n .endr\n"
        " .irp n, 0,1,2,3,4,5,6,7\n kxnorw %k\\n, %k\\n, %k\\n\n .endr\n"
        " ret\n"
        ".globl run_end\nrun_end:\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

static void handle(int number, siginfo_t *info, void *data)
{
  (void)info;
  ucontext_t *context = data;
  greg_t *registers = context->uc_mcontext.gregs;
  uint64_t at = (uint64_t)registers[REG_RIP] - (uint64_t)code;
  if (number == SIGILL && at == 0) outcome = 0;
  else if (number == SIGTRAP && at >= 2 && at <= 16) outcome = (uint8_t)(at - 1);
  else outcome = 255;
  registers[REG_RIP] = (greg_t)run_end;
  registers[REG_RSP] = (greg_t)saved_stack;
}

int main(void)
{
  static uint8_t stack[STACK_BYTES];
  static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE};
  code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint8_t *memory = mmap(0, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED || memory == MAP_FAILED) return 1;
  scratch = memory + SCRATCH_BYTES / 2;
  stack_t alternate = {.ss_sp = stack, .ss_size = STACK_BYTES};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, 0);
  uint8_t item[16];
  while (fread(item, 1, sizeof item, stdin) == sizeof item) {
    memset(code, 0xcc, 32);
    memcpy(code, item, item[15] < 15 ? item[15] : 15);
    outcome = 255;
    run_code(code);
    putchar(outcome);
  }
  return 0;
}
