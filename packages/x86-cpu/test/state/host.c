// Runs XSAVEC, and XRSTOR of areas in the compacted form, on the host's processor.
//
// Input, for each case: 64 bytes of header (32-bit words: operation, EDX:EAX), then three areas of 1024 bytes: the
// state to begin with, in the standard form, and the area that the instruction works on; output: 1024 bytes for each.
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define AREA 1024

static uint32_t parameters[16];
static uint8_t before[AREA] __attribute__((aligned(64)));
static uint8_t area[AREA] __attribute__((aligned(64)));
static uint8_t kept[4096] __attribute__((aligned(64)));
static uint8_t after[AREA] __attribute__((aligned(64)));
static sigjmp_buf faulted;

static void fault(int number) {
  (void)number;
  siglongjmp(faulted, 1);
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = fault;
  action.sa_flags = SA_NODEFER;
  sigaction(SIGSEGV, &action, NULL);
  while (fread(parameters, sizeof parameters, 1, stdin) == 1) {
    if (fread(before, AREA, 1, stdin) != 1 || fread(area, AREA, 1, stdin) != 1) return 1;
    memset(after, 0, AREA);
    if (sigsetjmp(faulted, 1) != 0) {
      // No XSAVE area begins with these bytes.
      memset(after, 0xff, AREA);
    } else if (parameters[0] == 0) {
      __asm__ volatile("mov $7, %%eax; xor %%edx, %%edx; xsave64 (%0); xrstor64 (%1); mov %2, %%eax; xsavec64 (%3);"
                       "mov $7, %%eax; xrstor64 (%0)"
                       :: "r"(kept), "r"(before), "r"(parameters[1]), "r"(area)
                       : "eax", "edx", "memory");
      memcpy(after, area, AREA);
    } else {
      __asm__ volatile("mov $7, %%eax; xor %%edx, %%edx; xsave64 (%0); xrstor64 (%1); mov %2, %%eax; xrstor64 (%3);"
                       "mov $7, %%eax; xsave64 (%4); xrstor64 (%0)"
                       :: "r"(kept), "r"(before), "r"(parameters[1]), "r"(area), "r"(after)
                       : "eax", "edx", "memory");
    }
    if (fwrite(after, AREA, 1, stdout) != 1) return 1;
  }
  return 0;
}
