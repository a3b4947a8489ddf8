// Follows pointers round a ring in random order: KIBIBYTES of 64-byte nodes, MILLIONS of steps.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
  struct node *next;
  char rest[64 - sizeof(struct node *)];
};

int main(int argc, char **argv) {
  size_t count = (argc > 1 ? atoi(argv[1]) : 16) * 1024ul / sizeof(struct node);
  long steps = (argc > 2 ? atoi(argv[2]) : 1) * 1000000l;
  struct node *nodes = malloc(count * sizeof *nodes);
  uint32_t *order = malloc(count * sizeof *order), seed = 1;
  for (size_t i = 0; i < count; i++) order[i] = i;
  for (size_t i = count - 1; i > 0; i--) {
    seed = seed * 1664525 + 1013904223;
    size_t other = (uint64_t)seed * i >> 32;
    uint32_t t = order[i];
    order[i] = order[other], order[other] = t;
  }
  for (size_t i = 0; i < count; i++) nodes[order[i]].next = &nodes[order[(i + 1) % count]];
  struct node *at = nodes;
  for (long i = 0; i < steps; i++) at = at->next;
  printf("chase %ld\n", (long)(at - nodes));
  return 0;
}
