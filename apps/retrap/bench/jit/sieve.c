// The primes below eight million, as often as the argument says.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 8000000 };
static unsigned char composite[LIMIT];

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1, count = 0;
  for (int round = 0; round < rounds; round++) {
    memset(composite, 0, sizeof composite);
    count = 0;
    for (int i = 2; i < LIMIT; i++) {
      if (composite[i]) continue;
      count++;
      for (long at = (long)i * 2; at < LIMIT; at += i) composite[at] = 1;
    }
  }
  printf("sieve %d\n", count);
  return 0;
}
