/*
 * A multiboot kernel that spends known shares of its instructions in three functions: a fifth in leaf, which has neither
 * a loop nor a frame, two fifths in looped, and two in outer and what it calls, half each.
 */
#define STR(x) #x
#define NOPS(n) __asm__ volatile(".rept " STR(n) "\n nop\n .endr")

__asm__(".text\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".globl _start\n"
        "_start: mov $0x200000, %esp\n"
        " xor %ebp, %ebp\n"
        " call main\n"
        " mov $0, %al\n"
        " out %al, $0xf4\n"
        "0: jmp 0b\n");

__attribute__((noinline, optimize("omit-frame-pointer"))) void leaf(void) { NOPS(100); }

__attribute__((noinline)) void looped(void) {
  for (int i = 0; i < 10; i++) NOPS(18);
}

__attribute__((noinline)) void inner(void) { NOPS(100); }

__attribute__((noinline)) void outer(void) {
  NOPS(100);
  inner();
  __asm__ volatile("");
}

__attribute__((noinline)) int main(void) {
  for (int i = 0; i < 600000; i++) {
    leaf();
    looped();
    outer();
  }
  return 0;
}
