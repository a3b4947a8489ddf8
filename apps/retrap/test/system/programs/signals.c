// What each kind of exception looks like to the program that raised it: signal, code, trap number, error code, and where.
#define _GNU_SOURCE
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

static sigjmp_buf back;
static char *page;
static uint64_t start;

static void handler(int number, siginfo_t *info, void *context) {
  // The kernel leaves AC as it was in the interrupted program.
  asm volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "cc", "memory");
  greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
  long address = (char *)info->si_addr - page;
  printf("signal %d code %d trap %lld error %llx", number, info->si_code, (long long)g[REG_TRAPNO],
         (unsigned long long)g[REG_ERR]);
  if (address >= 0 && address < 0x4000) printf(" address page+%lx", address);
  else if (info->si_addr == 0) printf(" address 0");
  if ((uint64_t)g[REG_RIP] - start < 64) printf(" rip +%d", (int)(g[REG_RIP] - start));
  else if ((uint64_t)g[REG_RIP] - (uint64_t)page < 0x4000) printf(" rip page+%lx", (long)(g[REG_RIP] - (uint64_t)page));
  printf("\n");
  siglongjmp(back, 1);
}

// Every attempt starts at a label, so that RIP can be told apart from the compiler's doings.
#define TRY(what, code, ...)                                                          \
  do {                                                                                \
    printf("%-36s", what);                                                            \
    if (!sigsetjmp(back, 1)) {                                                        \
      asm volatile("lea 1f(%%rip), %%rax; mov %%rax, %0" : "=m"(start)::"rax");       \
      asm volatile("1: " code ::__VA_ARGS__ : "rax", "rcx", "rdx", "memory", "cc");   \
      printf("nothing\n");                                                            \
    }                                                                                 \
  } while (0)

int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  page = mmap(0, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(page + 0x1000, 0x1000, PROT_READ);
  mprotect(page + 0x3000, 0x1000, PROT_NONE);
  static char stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
  for (int number = 1; number < 32; number++)
    if (number == SIGFPE || number == SIGSEGV || number == SIGILL || number == SIGBUS || number == SIGTRAP)
      sigaction(number, &action, 0);

  TRY("division by zero", "xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; div %%ecx", "m"(start));
  TRY("quotient too large", "mov $2, %%edx; xor %%eax, %%eax; mov $1, %%ecx; div %%ecx", "m"(start));
  TRY("INT_MIN / -1", "mov $0x80000000, %%eax; cdq; mov $-1, %%ecx; idiv %%ecx", "m"(start));
  TRY("INT3", "int3", "m"(start));
  TRY("UD2", "ud2", "m"(start));
  TRY("LOCK on a register form", ".byte 0xf0, 0x01, 0xc0", "m"(start));
  TRY("PUSH ES, not in 64-bit mode", ".byte 0x06", "m"(start));
  TRY("16 bytes of instruction", ".fill 15, 1, 0x66; nop", "m"(start));
  TRY("HLT", "hlt", "m"(start));
  TRY("CLI", "cli", "m"(start));
  TRY("IN", "mov $0x80, %%edx; in %%dx, %%al", "m"(start));
  TRY("MOV CR3", "mov %%cr3, %%rax", "m"(start));
  TRY("RDMSR", "mov $0x10, %%ecx; rdmsr", "m"(start));
  TRY("INVLPG", "invlpg (%0)", "r"(page));
  TRY("LGDT", "lgdt (%0)", "r"(page));
  TRY("INT 90H", "int $0x90", "m"(start));
  TRY("INT 8", "int $8", "m"(start));
  TRY("MOV DS of a bad selector", "mov $0x1237, %%eax; mov %%eax, %%ds", "m"(start));
  TRY("MOV SS of a null selector", "xor %%eax, %%eax; mov %%eax, %%ss", "m"(start));
  TRY("LRET to a bad selector", "pushq $0x1237; pushq $0; lretq", "m"(start));
  TRY("write to a read-only page", "movb $1, 0x1004(%0)", "r"(page));
  TRY("increment in a read-only page", "incl 0x1004(%0)", "r"(page));
  TRY("read of an absent page", "mov 0x3008(%0), %%eax", "r"(page));
  TRY("write that crosses into read-only", "movq $1, 0xffc(%0)", "r"(page));
  TRY("read that crosses into absent", "mov 0x2ffd(%0), %%eax", "r"(page));
  TRY("16-byte read that crosses", "movups 0x2ff8(%0), %%xmm0", "r"(page));
  TRY("misaligned MOVAPS", "movaps 0x2001(%0), %%xmm0", "r"(page));
  TRY("REP STOS into a read-only page", "push %%rdi; lea 0xff0(%0), %%rdi; mov $64, %%ecx; rep stosb; pop %%rdi", "r"(page));
  TRY("execution of data", "jmp *%0", "r"(page + 0x10));
  TRY("execution of an absent page", "jmp *%0", "r"(page + 0x3010));
  TRY("null pointer", "xor %%eax, %%eax; mov (%%rax), %%eax", "m"(start));
  TRY("kernel address", "mov $-4096, %%rax; mov (%%rax), %%eax", "m"(start));
  TRY("non-canonical read", "mov $1, %%eax; shl $62, %%rax; mov (%%rax), %%eax", "m"(start));
  TRY("non-canonical jump", "mov $1, %%eax; shl $62, %%rax; jmp *%%rax", "m"(start));
  TRY("non-canonical stack", "mov %%rsp, %%rcx; mov $1, %%eax; shl $62, %%rax; mov %%rax, %%rsp; push %%rcx; mov %%rcx, %%rsp", "m"(start));
  TRY("RET to a non-canonical address", "mov $1, %%eax; shl $62, %%rax; push %%rax; ret", "m"(start));
  TRY("misaligned read under AC", "pushf; orl $0x40000, (%%rsp); popf; mov 0x2001(%0), %%eax", "r"(page));
  TRY("misaligned byte read under AC", "pushf; orl $0x40000, (%%rsp); popf; mov 0x2001(%0), %%al; pushf; andl $~0x40000, (%%rsp); popf", "r"(page));
  TRY("TF", "pushf; orl $0x100, (%%rsp); popf; nop; nop", "m"(start));

  // An instruction whose second half lies in an absent page.
  mprotect(page + 0x2000, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC);
  memcpy(page + 0x2ffe, "\xb8\x01", 2);
  TRY("instruction that runs out of page", "jmp *%0", "r"(page + 0x2ffe));

  static volatile double zero, one = 1, huge = 1e300, tiny = 1e-300;
  feenableexcept(FE_ALL_EXCEPT);
  TRY("SSE division by zero", "movsd %0, %%xmm0; divsd %1, %%xmm0", "m"(one), "m"(zero));
  feenableexcept(FE_ALL_EXCEPT);
  TRY("SSE invalid operation", "movsd %0, %%xmm0; divsd %0, %%xmm0", "m"(zero));
  feenableexcept(FE_ALL_EXCEPT);
  TRY("SSE overflow", "movsd %0, %%xmm0; mulsd %0, %%xmm0", "m"(huge));
  feenableexcept(FE_ALL_EXCEPT);
  TRY("SSE underflow", "movsd %0, %%xmm0; mulsd %0, %%xmm0", "m"(tiny));
  asm volatile("fninit");
  unsigned short control = 0x300;
  asm volatile("fldcw %0" ::"m"(control));
  TRY("x87 division by zero, at FWAIT", "fldl %0; fdivl %1; fwait", "m"(one), "m"(zero));
  asm volatile("fninit; fldcw %0" ::"m"(control));
  TRY("x87 invalid operation, at the next ", "fldl %0; fdivl %0; fldl %0", "m"(zero));
  asm volatile("fninit; fldcw %0" ::"m"(control));
  TRY("x87 stack underflow", "fstp %%st(0); fwait", "m"(start));
  printf("end\n");
  return 0;
}
