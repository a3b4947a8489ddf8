// A million numbers sorted, as often as the argument says.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 1000000 };
static uint32_t numbers[COUNT];

static void sort(uint32_t *low, uint32_t *high) {
  while (high - low > 12) {
    uint32_t pivot = low[(high - low) / 2], *i = low, *j = high;
    while (i <= j) {
      while (*i < pivot) i++;
      while (*j > pivot) j--;
      if (i <= j) {
        uint32_t t = *i;
        *i++ = *j, *j-- = t;
      }
    }
    if (j - low < high - i) sort(low, j), low = i;
    else sort(i, high), high = j;
  }
  for (uint32_t *at = low + 1; at <= high; at++) {
    uint32_t value = *at, *to = at;
    for (; to > low && to[-1] > value; to--) *to = to[-1];
    *to = value;
  }
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  uint32_t seed = 1, sum = 0;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < COUNT; i++) numbers[i] = seed = seed * 1664525 + 1013904223;
    sort(numbers, numbers + COUNT - 1);
    for (int i = 1; i < COUNT; i++) sum += numbers[i - 1] <= numbers[i];
    sum ^= numbers[COUNT / 2];
  }
  printf("quicksort %u\n", sum);
  return 0;
}
