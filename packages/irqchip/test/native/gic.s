// Performs single instructions on several processors of qemu-system-aarch64 -M virt, at EL1, and keeps what they give.
//
// A table of operations is at 0x41001000 (test/gic/qemu.ts writes it), 32 bytes each: processor, an instruction, RET,
// the syndrome if it faults, X0, X1. They are performed one after the other, each by its processor. The words before it:
// at +8 the next operation, at +12 how many there are, at +16 a byte for each processor that is ready.
.globl _start
_start:
        msr     daifset, #15
        adr     x0, vectors
        msr     vbar_el1, x0
        isb
        movz    x20, #0x4100, lsl #16
        mrs     x9, mpidr_el1
        and     x9, x9, #0xff
        cbnz    x9, ready
        stp     xzr, xzr, [x20]
        stp     xzr, xzr, [x20, #16]
        mov     x19, #1
start:  ldr     x0, =0xc4000003         // PSCI CPU_ON
        mov     x1, x19
        adr     x2, _start
        mov     x3, #0
        hvc     #0
        add     x19, x19, #1
        cbz     x0, start               // until there is no such processor
ready:  add     x0, x20, #16
        mov     w1, #1
        strb    w1, [x0, x9]
loop:   yield
        ldr     w1, [x20, #12]          // first: a count that is new with an index that is old would skip operations
        ldr     w11, [x20, #8]
        cmp     w11, w1
        b.hs    loop
        add     x10, x20, #0x1000
        add     x10, x10, x11, lsl #5
        ldr     w1, [x10]
        cmp     w1, w9
        b.ne    loop
        ic      iallu
        dsb     sy
        isb
        ldp     x0, x1, [x10, #16]
        add     x5, x10, #4
        blr     x5
        isb
        str     x0, [x10, #16]
        add     w11, w11, #1
        dmb     sy
        str     w11, [x20, #8]
        b       loop

        .balign 2048
vectors:
        .skip   0x200
        mrs     x6, esr_el1
        str     w6, [x10, #12]
        mrs     x6, elr_el1
        add     x6, x6, #4
        msr     elr_el1, x6
        eret
