// Executes cases at EL1 and EL0 and notes what becomes of each: see support/el1-cases.ts, which has the offsets.
// Each case is up to four instructions; SVC #0xabc follows them. All end with an exception that EL1 takes.
// Registers from X20 on are this program's.

    .arch armv8.4-a
    .equ CASES, 0x40300000
    .equ RESULTS, 0x40400000
    .equ SLOT, 0x40280000
    .equ SAFE_SCTLR, 0x30d00800

    .text
    .global _start
_start:
    ldr x20, =vectors
    msr vbar_el1, x20
    msr oslar_el1, xzr
    bl map
    ldr x28, =CASES
    ldr x29, =RESULTS
    ldr x27, [x28]
    add x28, x28, #64
next:
    cbz x27, finish
    ldr x20, =SLOT
    ldp x21, x22, [x28]
    stp x21, x22, [x20]
    dc cvau, x20
    dsb ish
    ic ivau, x20
    dsb ish
    isb
    msr s3_0_c4_c2_3, xzr // PAN
    ldr x21, [x28, #48]
    ldr x22, [x28, #56]
    ldr x23, [x28, #80]
    msr far_el1, xzr
    msr cntkctl_el1, x23
    msr contextidr_el1, xzr
    ldr x23, [x28, #64]
    msr sp_el0, x23
    ldr x23, [x28, #72]
    mov sp, x23
    ldr x23, [x28, #16]
    msr spsr_el1, x23
    msr elr_el1, x20
    ldp x0, x1, [x28, #24]
    ldr x2, [x28, #40]
    mov x3, #0
    msr sctlr_el1, x21
    msr cpacr_el1, x22
    isb
    eret

    .balign 2048
vectors:
    .irp hundreds, 0, 1, 2, 3, 4, 5, 6, 7
    .irp low, 00, 80
    .balign 128
    mov x20, #0x\hundreds\low
    b note
    .endr
    .endr
    .balign 128

note:
    mov x21, sp
    mrs x22, sp_el0
    mrs x23, s3_0_c4_c2_3 // PAN
    mrs x24, s3_0_c4_c2_4 // UAO
    orr x23, x23, x24
    mrs x24, daif
    orr x23, x23, x24
    mrs x24, s3_3_c4_c2_5 // DIT
    orr x23, x23, x24
    mrs x24, s3_3_c4_c2_6 // SSBS
    orr x23, x23, x24
    // With PSTATE.PAN nothing may be loaded yet.
    mov x24, #(SAFE_SCTLR & 0xffff)
    movk x24, #(SAFE_SCTLR >> 16), lsl #16
    mrs x25, sctlr_el1
    msr sctlr_el1, x24
    mov x24, #(3 << 20)
    msr cpacr_el1, x24
    isb
    stp x20, x21, [x29]
    stp x22, x23, [x29, #16]
    mrs x20, esr_el1
    mrs x21, elr_el1
    stp x20, x21, [x29, #32]
    mrs x20, spsr_el1
    mrs x21, far_el1
    stp x20, x21, [x29, #48]
    stp x0, x1, [x29, #64]
    stp x2, x3, [x29, #80]
    str x25, [x29, #96]
    msr pan, #0
    msr daifset, #15
    // What cases write.
    ldr x20, =vectors
    msr vbar_el1, x20
    msr tpidr_el1, xzr
    msr mdscr_el1, xzr
    // QEMU 7.2 has no breakpoints on contexts.
    msr dbgbcr4_el1, xzr
    msr dbgbcr5_el1, xzr
    bl map
    msr ttbr1_el1, xzr
    msr par_el1, xzr
    add x28, x28, #128
    add x29, x29, #128
    sub x27, x27, #1
    b next

// For cases with the MMU on: a block of 1 GiB that both levels may read and execute, guarded.
map:
    ldr x20, =table
    msr ttbr0_el1, x20
    mov x20, #25
    msr tcr_el1, x20
    isb
    tlbi vmalle1
    dsb ish
    ret

finish:
    // PSCI's SYSTEM_OFF
    ldr w0, =0x84000008
    hvc #0
    b finish

    .balign 4096
table:
    .quad 0
    .quad 0x00040000400007c1
    .zero 4096 - 16
