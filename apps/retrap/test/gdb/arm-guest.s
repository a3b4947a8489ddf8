// A guest to be debugged: at EL1 with translation on it calls a function 100 times; then SVC, and an undefined instruction.
    .globl _start
_start:
    ldr x1, =vectors
    msr vbar_el1, x1
    mov x2, #(3 << 20)
    msr cpacr_el1, x2
    ldr x0, =table
    mov x2, #0x401
    str x2, [x0]
    ldr x2, =0x40000705
    str x2, [x0, #8]
    msr ttbr0_el1, x0
    mov x2, #0xff00
    msr mair_el1, x2
    ldr x2, =0x200803519
    msr tcr_el1, x2
    isb
    mrs x2, sctlr_el1
    mov x3, #0x1005
    orr x2, x2, x3
    msr sctlr_el1, x2
    isb
    ldr x1, =stack
    mov sp, x1
    movi v1.4s, #7
    fmov d0, #3.0
    fdiv d2, d0, d0
    mov x19, #100
    mov x20, #0
    cmp x20, #0
    mov x2, #2
    mov x21, #-1
    ldr x9, =data
1:  bl function
    subs x19, x19, #1
    b.ne 1b
    .globl call
call:
    svc #5
    .globl undefined
undefined:
    .inst 0
    .globl end
end:
    .ifdef ENDS
    mov x0, #0x84000000
    movk x0, #8
    hvc #0
    .endif
    nop
    b end

    .globl function
function:
    str x19, [x9]
    ldr w10, [x9, #64]
    add x20, x20, #1
    ldr x11, =crossed
    str x19, [x11]
    ret
    .ltorg

    .balign 2048
    .globl vectors
vectors:
    .space 0x200
    mrs x1, esr_el1
    lsr x1, x1, #26
    cmp x1, #0x15
    b.eq 2f
    mrs x1, elr_el1
    add x1, x1, #4
    msr elr_el1, x1
2:  eret

    .balign 4096
    .globl table, data, crossed
table:
    .space 4096
    .space 4096
stack:
data:
    .space 4092
crossed:
    .space 4096
