// The C library's memcpy, strlen and memchr, on short and long pieces of a megabyte.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 1 << 20 };
static char from[BYTES + 1], to[BYTES + 1];

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  uint64_t sum = 0;
  memset(from, 'x', BYTES);
  for (int round = 0; round < rounds; round++) {
    for (size_t bytes = 7; bytes < BYTES; bytes = bytes * 3 + 1) {
      for (size_t at = 0; at + bytes <= BYTES; at += bytes) memcpy(to + at, from + at, bytes);
      char *end = to + bytes - 1;
      *end = 0;
      for (size_t i = 0; i < BYTES / bytes; i++) sum += strlen(to + i % bytes);
      for (size_t i = 0; i < BYTES / bytes; i++) sum += (char *)memchr(to + i % bytes, 0, BYTES) - to;
    }
  }
  printf("strings %llu\n", (unsigned long long)sum);
  return 0;
}
