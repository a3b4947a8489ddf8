// Entry, vectors and the way into a case: see arm-walks.c. Runs at EL2 with its own MMU off.
        .global _start, run_case
        .section .text.start, "ax"
_start: ldr     x0, =stack_end
        mov     sp, x0
        ldr     x0, =vectors
        msr     vbar_el2, x0
        isb
        bl      main
        b       .

// run_case(elr, spsr, va): enters a case and returns ESR_EL2 of the exception that ends it.
run_case:
        stp     x19, x20, [sp, #-96]!
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        msr     elr_el2, x0
        msr     spsr_el2, x1
        mov     x1, x2
        isb
        eret
leave:  mrs     x0, esr_el2
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     x19, x20, [sp], #96
        ret

        .balign 2048
vectors:
        .rept   8
        b       .
        .balign 128
        .endr
        .rept   8
        b       leave
        .balign 128
        .endr

        .bss
        .balign 16
        .skip   16384
stack_end:
