// A small stack machine interprets a loop: indirect jumps that depend on data.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, XOR, SHIFT, LESS, JUMP_IF, END };

static const int32_t program[] = {
    PUSH, 0, STORE, 0, PUSH, 1, STORE, 1,                                          // i = 0; x = 1
    LOAD, 1, PUSH, 1103515245, MUL, PUSH, 12345, ADD, STORE, 1,                    // x = x * a + c
    LOAD, 2, LOAD, 1, PUSH, 16, SHIFT, XOR, STORE, 2,                              // y ^= x >> 16
    LOAD, 3, LOAD, 2, SUB, STORE, 3,                                               // z -= y
    LOAD, 0, PUSH, 1, ADD, STORE, 0, LOAD, 0, LOAD, 4, LESS, JUMP_IF, 8, END,      // while (++i < n)
};

__attribute__((noinline)) static int32_t interpret(int32_t rounds) {
  int32_t stack[16], variables[5] = {0, 0, 0, 0, rounds}, *top = stack;
  for (const int32_t *at = program;;) {
    switch (*at++) {
      case PUSH: *top++ = *at++; break;
      case LOAD: *top++ = variables[*at++]; break;
      case STORE: variables[*at++] = *--top; break;
      case ADD: top--; top[-1] = (uint32_t)top[-1] + (uint32_t)top[0]; break;
      case SUB: top--; top[-1] = (uint32_t)top[-1] - (uint32_t)top[0]; break;
      case MUL: top--; top[-1] = (uint32_t)top[-1] * (uint32_t)top[0]; break;
      case XOR: top--; top[-1] ^= top[0]; break;
      case SHIFT: top--; top[-1] = (uint32_t)top[-1] >> top[0]; break;
      case LESS: top--; top[-1] = top[-1] < top[0]; break;
      case JUMP_IF: at = *--top ? program + *at : at + 1; break;
      case END: return variables[3];
    }
  }
}

int main(int argc, char **argv) {
  printf("bytecode %d\n", interpret((argc > 1 ? atoi(argv[1]) : 1) * 1000));
  return 0;
}
