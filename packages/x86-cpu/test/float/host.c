/*
 * Runs single instructions on the host: reads cases from standard input, writes them back as they are afterwards.
 * The layout of a case is that of `struct test`; processor.ts knows it too.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct test {
  uint8_t code[16]; /* padded with NOPs */
  uint64_t rax, rcx, rflags;
  uint32_t trap; /* vector, or all ones */
  uint8_t padding[20];
  uint8_t memory[64]; /* RSI points here */
  uint8_t fx[512];    /* as FXSAVE64 writes it */
};

static struct test current __attribute__((aligned(64)));
static sigjmp_buf back;

void run(struct test *test, void *code);
__asm__(".globl run\n"
        "run:\n"
        "  push %rbx\n"
        "  mov %rdi, %rbx\n"
        "  mov %rsi, %rdx\n"
        "  fxrstor64 128(%rbx)\n"
        "  lea 64(%rbx), %rsi\n"
        "  mov 24(%rbx), %rcx\n"
        "  mov 16(%rbx), %rax\n"
        "  pushq 32(%rbx)\n"
        "  popfq\n"
        "  call *%rdx\n"
        "  pushfq\n"
        "  popq 32(%rbx)\n"
        "  mov %rax, 16(%rbx)\n"
        "  mov %rcx, 24(%rbx)\n"
        "  fxsave64 128(%rbx)\n"
        "  fninit\n"
        "  pushq $0x1f80\n"
        "  ldmxcsr (%rsp)\n"
        "  add $8, %rsp\n"
        "  pop %rbx\n"
        "  ret\n");

static void handler(int number, siginfo_t *info, void *context) {
  ucontext_t *c = context;
  (void)number;
  (void)info;
  current.trap = (uint32_t)c->uc_mcontext.gregs[REG_TRAPNO];
  current.rax = (uint64_t)c->uc_mcontext.gregs[REG_RAX];
  current.rcx = (uint64_t)c->uc_mcontext.gregs[REG_RCX];
  current.rflags = (uint64_t)c->uc_mcontext.gregs[REG_EFL];
  memcpy(current.fx, c->uc_mcontext.fpregs, sizeof current.fx);
  siglongjmp(back, 1);
}

int main(void) {
  static uint8_t old[16];
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct sigaction action;
  int numbers[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS};
  if (code == MAP_FAILED) return 2;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (unsigned i = 0; i < 4; i++) sigaction(numbers[i], &action, 0);
  code[16] = 0xc3;
  while (fread(&current, sizeof current, 1, stdin) == 1) {
    if (memcmp(old, current.code, 16) != 0) {
      memcpy(old, current.code, 16);
      memcpy(code, current.code, 16);
    }
    current.trap = 0xffffffff;
    if (sigsetjmp(back, 1) == 0) run(&current, code);
    fwrite(&current, sizeof current, 1, stdout);
  }
  return 0;
}
