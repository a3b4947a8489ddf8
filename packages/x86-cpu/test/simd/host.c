/*
 * Executes single instructions on the processor this runs on. Reads cases of 768 bytes from standard input and writes
 * each back as the instruction left it. Layout, as host-case.ts has it:
 *
 *   0    FXSAVE image       512  RAX ... R15 (RBX, RSP, RBP and R15 are not loaded; RBX points to the memory)
 *   640  RFLAGS             648  address of the code (internal)
 *   656  length, bytes      680  signal number, 0 for none
 *   704  64 bytes of memory
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE 768

void run_case(uint8_t *state);

__asm__(".globl run_case\n"
        "run_case:\n"
        " push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rdi,%r15\n"
        " fxrstor64 (%r15)\n"
        " lea 704(%r15),%rbx\n"
        " push 640(%r15)\n popf\n"
        " mov 512(%r15),%rax\n mov 520(%r15),%rcx\n mov 528(%r15),%rdx\n"
        " mov 560(%r15),%rsi\n mov 568(%r15),%rdi\n"
        " mov 576(%r15),%r8\n mov 584(%r15),%r9\n mov 592(%r15),%r10\n mov 600(%r15),%r11\n"
        " mov 608(%r15),%r12\n mov 616(%r15),%r13\n mov 624(%r15),%r14\n"
        " call *648(%r15)\n"
        " mov %rax,512(%r15)\n mov %rcx,520(%r15)\n mov %rdx,528(%r15)\n"
        " mov %rsi,560(%r15)\n mov %rdi,568(%r15)\n"
        " mov %r8,576(%r15)\n mov %r9,584(%r15)\n mov %r10,592(%r15)\n mov %r11,600(%r15)\n"
        " mov %r12,608(%r15)\n mov %r13,616(%r15)\n mov %r14,624(%r15)\n"
        " pushf\n pop 640(%r15)\n"
        " fxsave64 (%r15)\n"
        " fninit\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
        " ret\n");

static sigjmp_buf fault;

static void on_signal(int number) { siglongjmp(fault, number); }

int main(void) {
  static uint8_t state[SIZE] __attribute__((aligned(64)));
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 1;
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  sigaction(SIGILL, &action, 0);
  sigaction(SIGFPE, &action, 0);
  while (fread(state, SIZE, 1, stdin) == 1) {
    uint64_t entry = (uint64_t)code;
    memcpy(state + 648, &entry, 8);
    memcpy(code, state + 657, state[656]);
    code[state[656]] = 0xc3;
    int number = sigsetjmp(fault, 1);
    if (number == 0) run_case(state);
    else __asm__ volatile("fninit");
    memcpy(state + 680, &number, 4);
    fwrite(state, SIZE, 1, stdout);
  }
  return 0;
}
