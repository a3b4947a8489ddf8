/*
 * Calls a routine on the processor this runs on. Standard input: length of the code, of its input and of its output, 32 bits
 * each; the code and the input. RSI points to the input, RDI to the output, which goes to standard output. The code ends by
 * RET, and may change all registers but RSP.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(void) {
  uint32_t lengths[3];
  if (fread(lengths, sizeof lengths, 1, stdin) != 1) return 1;
  uint8_t *code = mmap(0, lengths[0] + 1, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint8_t *in = aligned_alloc(4096, (lengths[1] + 8191) & ~4095u);
  uint8_t *out = aligned_alloc(4096, (lengths[2] + 8191) & ~4095u);
  if (code == MAP_FAILED || in == 0 || out == 0) return 1;
  if (fread(code, lengths[0], 1, stdin) != 1 || fread(in, lengths[1], 1, stdin) != 1) return 1;
  for (uint32_t i = 0; i < lengths[2]; i++) out[i] = 0;
  uint8_t *from = in, *to = out;
  __asm__ volatile("sub $128, %%rsp\n\t"
                   "push %%rbp\n\tpush %%rbx\n\t"
                   "call *%2\n\t"
                   "pop %%rbx\n\tpop %%rbp\n\t"
                   "add $128, %%rsp"
                   : "+S"(from), "+D"(to)
                   : "r"(code)
                   : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
  return fwrite(out, lengths[2], 1, stdout) == 1 ? 0 : 1;
}
