# What the machine starts: a multiboot header, and a stack for the C code.
.section .multiboot, "a"
.long 0x1badb002, 0, -0x1badb002

.text
.global _start
_start:
  mov $stack, %esp
  call start
  hlt

.bss
.skip 4096
stack:
.section .note.GNU-stack
