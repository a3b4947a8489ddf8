// Prints megabytes of lines that look like a log, for compressors.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const words[] = {"disk",  "ready", "error", "retry", "queue", "frame", "packet", "lost",
                                    "clock", "level", "guest", "page",  "table", "walk",  "entry",  "done"};

int main(int argc, char **argv) {
  long bytes = (argc > 1 ? atol(argv[1]) : 1) << 20, done = 0;
  uint32_t seed = 1;
  while (done < bytes) {
    seed = seed * 1664525 + 1013904223;
    done += printf("[%ld] %s %s %08x %s\n", done, words[seed >> 28], words[seed >> 20 & 15], seed >> 7, words[seed >> 12 & 15]);
  }
  return 0;
}
