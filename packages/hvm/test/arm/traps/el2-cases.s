// Executes cases at EL1 and EL0 below an EL2 and notes what each traps into EL2 with: see compare.ts, which has the offsets.
// SP_EL2 is the address of the case, TPIDR_EL2 that of its result.

    .arch armv8.4-a
    .equ CASES, 0x42000000
    .equ CASE_BYTES, 512
    .equ RESULTS, 0x43000000
    .equ RESULT_BYTES, 128

    .text
    .global _start
_start:
    adr x0, vectors
    msr vbar_el2, x0
    mov x0, #3
    msr cnthctl_el2, x0
    msr oslar_el1, xzr
    ldr x9, =CASES
    ldp x0, x1, [x9, #8]
    msr vttbr_el2, x0
    msr vtcr_el2, x1
    ldp x0, x1, [x9, #24]
    msr mair_el1, x0
    msr tcr_el1, x1
    ldp x0, x1, [x9, #40]
    msr ttbr0_el1, x0
    msr ttbr1_el1, x1
    ldr x0, [x9, #64]
    mov x1, #0
    msr apiakeylo_el1, x1
    msr apiakeyhi_el1, x1
    msr apibkeylo_el1, x1
    msr apibkeyhi_el1, x1
    msr apdakeylo_el1, x1
    msr apdakeyhi_el1, x1
    msr apdbkeylo_el1, x1
    msr apdbkeyhi_el1, x1
    msr apgakeylo_el1, x1
    msr apgakeyhi_el1, x1
    ldr x0, =RESULTS
    msr tpidr_el2, x0
    add x0, x9, #CASE_BYTES
    mov sp, x0
next:
    ldr x9, =CASES
    ldr x0, [x9]
    cbz x0, finish
    sub x0, x0, #1
    str x0, [x9]
    // Where the guest's code is.
    ldr x1, [x9, #64]
    ldp x2, x3, [sp]
    stp x2, x3, [x1]
    dc cvau, x1
    dsb ish
    ic iallu
    dsb ish
    ldr x0, [x9, #56]
    msr vbar_el1, x0
    ldr x0, [x9, #72]
    msr elr_el2, x0
    ldr x0, [sp, #264]
    msr sp_el0, x0
    ldr x0, [sp, #272]
    msr sp_el1, x0
    ldr x0, [sp, #280]
    msr spsr_el2, x0
    ldr x0, [sp, #288]
    msr sctlr_el1, x0
    ldr x0, [sp, #296]
    msr hcr_el2, x0
    ldr x0, [sp, #304]
    msr cptr_el2, x0
    ldr x0, [sp, #312]
    msr mdcr_el2, x0
    ldr x0, [sp, #320]
    msr cpacr_el1, x0
    msr cntkctl_el1, xzr
    msr contextidr_el1, xzr
    msr mdscr_el1, xzr
    msr esr_el1, xzr
    msr elr_el1, xzr
    msr spsr_el1, xzr
    msr far_el1, xzr
    msr par_el1, xzr
    msr far_el2, xzr
    msr hpfar_el2, xzr
    msr esr_el2, xzr
    isb
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldp x6, x7, [sp, #64]
    ldp x8, x9, [sp, #80]
    ldp x10, x11, [sp, #96]
    ldp x12, x13, [sp, #112]
    ldp x14, x15, [sp, #128]
    ldp x16, x17, [sp, #144]
    ldp x18, x19, [sp, #160]
    ldp x20, x21, [sp, #176]
    ldp x22, x23, [sp, #192]
    ldp x24, x25, [sp, #208]
    ldp x26, x27, [sp, #224]
    ldp x28, x29, [sp, #240]
    ldr x30, [sp, #256]
    eret

    .balign 2048
vectors:
    .irp hundreds, 0, 1, 2, 3, 4, 5, 6, 7
    .irp low, 00, 80
    .balign 128
    mov x0, #0x\hundreds\low
    b note
    .endr
    .endr
    .balign 128

note:
    mrs x1, tpidr_el2
    mrs x2, esr_el2
    stp x0, x2, [x1]
    mrs x2, far_el2
    mrs x3, hpfar_el2
    stp x2, x3, [x1, #16]
    mrs x2, elr_el2
    mrs x3, spsr_el2
    stp x2, x3, [x1, #32]
    mrs x2, esr_el1
    mrs x3, far_el1
    stp x2, x3, [x1, #48]
    mrs x2, elr_el1
    mrs x3, spsr_el1
    stp x2, x3, [x1, #64]
    mrs x2, par_el1
    str x2, [x1, #80]
    add x1, x1, #RESULT_BYTES
    msr tpidr_el2, x1
    add sp, sp, #CASE_BYTES
    mov x0, #(1 << 31)
    msr hcr_el2, x0
    isb
    b next

finish:
    // PSCI's SYSTEM_OFF
    ldr w0, =0x84000008
    smc #0
    b finish
