// Has the device of devices/dma-loop.ts copy pages by DMA until it gets SIGTERM, and checks every word of what comes.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 32, BYTES = 4096, WORDS = BYTES / 4 };
static const uint32_t golden = 0x9e3779b1;
static volatile sig_atomic_t stopped;

static void stop(int signal) { stopped = signal; }

static uint32_t frame(const void *page) {
  uint64_t entry = 0;
  int file = open("/proc/self/pagemap", O_RDONLY);
  if (file < 0 || pread(file, &entry, 8, (uintptr_t)page / BYTES * 8) != 8 || !(entry >> 63)) {
    puts("no pagemap");
    exit(1);
  }
  close(file);
  return entry;
}

int main(void) {
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, 0);
  int memory = open("/dev/mem", O_RDWR | O_SYNC);
  volatile uint32_t *device = mmap(0, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0xfed91000);
  // Shared pages are not gathered into large ones, and locked ones stay where they are.
  uint8_t *pages = mmap(0, 2 * PAGES * BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (device == MAP_FAILED || pages == MAP_FAILED || mlock(pages, 2 * PAGES * BYTES)) {
    puts("no memory");
    return 1;
  }
  uint32_t frames[2 * PAGES];
  for (int i = 0; i < 2 * PAGES; i++) {
    pages[i * BYTES] = 1;
    frames[i] = frame(pages + i * BYTES);
  }
  uint32_t seed = 1;
  long copied = 0, wrong = 0, moved = 0;
  while (!stopped) {
    for (int i = 0; i < PAGES; i++) {
      uint32_t *from = (uint32_t *)(pages + i * BYTES);
      for (int k = 0; k < WORDS; k++) from[k] = (seed + i + k) * golden;
      ((volatile uint32_t *)(pages + (PAGES + i) * BYTES))[WORDS - 1] = 0;
      device[0] = frames[i];
      device[1] = frames[PAGES + i];
      device[2] = seed + i;
    }
    for (int i = 0; i < PAGES; i++) {
      volatile uint32_t *to = (uint32_t *)(pages + (PAGES + i) * BYTES);
      while (to[WORDS - 1] != seed + i) sched_yield();
      for (int k = 0; k < WORDS - 1; k++)
        if (to[k] != (~((seed + i + k) * golden) ^ (uint32_t)k)) wrong++;
      copied++;
    }
    seed += PAGES;
  }
  for (int i = 0; i < 2 * PAGES; i++) moved += frame(pages + i * BYTES) != frames[i];
  printf("guest: copied %ld wrong %ld moved %ld\n", copied, wrong, moved);
  printf("device: copied %u wrong %u swept %u holes %u orphaned %u\n", device[8], device[9], device[10], device[11],
         device[12]);
  return 0;
}
