// Records, strings, calls and branches in the proportions of system programs (as Dhrystone has them).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
  struct record *next;
  int kind, value;
  char text[32];
};

static struct record first, second;
static int table[64][64];
static volatile int flag;

__attribute__((noinline)) static int compare(const char *a, const char *b) {
  int at = 2;
  while (at <= 2) {
    if (a[at] == b[at + 1]) return 0;
    at += 3;
  }
  return strcmp(a, b) > 0;
}

__attribute__((noinline)) static void fill(int (*rows)[64], int row, int value) {
  int at = row + 5;
  rows[at][at] = value;
  rows[at][at + 1] = rows[at][at];
  rows[at + 20][at] = at;
  for (int i = at; i <= at + 1; i++) rows[at][i] += 1;
}

__attribute__((noinline)) static void follow(struct record *from) {
  struct record *to = from->next;
  *to = *from;
  to->next = from->next;
  to->value = from->value + 5;
  if (to->kind == 0) to->kind = 2, to->value ^= flag;
  else to->value -= 3;
}

__attribute__((noinline)) static int choose(int a, int b) {
  switch ((a + b) & 7) {
    case 0: return a;
    case 1: return b * 3;
    case 2: return a - b;
    case 3: return a / (b | 1);
    case 4: return a << (b & 3);
    default: return a ^ b;
  }
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  unsigned sum = 0;
  first.next = &second;
  strcpy(first.text, "DHRYSTONE-LIKE, SOME STRING");
  for (int round = 1; round <= rounds; round++) {
    char text[32];
    strcpy(text, "DHRYSTONE-LIKE, 2'ND STRING");
    int a = 2, b = 3, c = 0;
    if (!compare(first.text, text)) a = round;
    while (a < b) c = 5 * a - b, a++;
    fill(table, 8, c + round);
    first.kind = round & 1;
    first.value = c;
    follow(&first);
    for (char letter = 'A'; letter <= 'C'; letter++) c += choose(letter, round);
    sum = sum * 31 + c + second.value + table[13][13];
  }
  printf("records %u\n", sum);
  return 0;
}
