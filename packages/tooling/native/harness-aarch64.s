// execute(stub): loads every register, runs the stub, stores every register.
        .arch armv8.5-a+memtag
        .text
        .global _start, execute, finish, current
_start: bl run
execute:
        stp x29, x30, [sp, #-112]!
        stp x19, x20, [sp, #16]
        stp x21, x22, [sp, #32]
        stp x23, x24, [sp, #48]
        stp x25, x26, [sp, #64]
        stp x27, x28, [sp, #80]
        adrp x1, host_sp
        add x1, x1, :lo12:host_sp
        mov x2, sp
        stp x2, x0, [x1]
        adrp x30, current
        add x30, x30, :lo12:current
        ldr x0, [x30, #31*8]
        mov sp, x0
        ldr x0, [x30, #32*8]
        msr nzcv, x0
        ldr x0, [x30, #240]
        msr tpidr_el0, x0
        add x1, x30, #33*8
        ld1 {v0.2d-v3.2d}, [x1], #64
        ld1 {v4.2d-v7.2d}, [x1], #64
        ld1 {v8.2d-v11.2d}, [x1], #64
        ld1 {v12.2d-v15.2d}, [x1], #64
        ld1 {v16.2d-v19.2d}, [x1], #64
        ld1 {v20.2d-v23.2d}, [x1], #64
        ld1 {v24.2d-v27.2d}, [x1], #64
        ld1 {v28.2d-v31.2d}, [x1], #64
        ldp x0, x2, [x1]
        msr fpcr, x0
        msr fpsr, x2
        ldp x0, x1, [x30]
        ldp x2, x3, [x30, #16]
        ldp x4, x5, [x30, #32]
        ldp x6, x7, [x30, #48]
        ldp x8, x9, [x30, #64]
        ldp x10, x11, [x30, #80]
        ldp x12, x13, [x30, #96]
        ldp x14, x15, [x30, #112]
        ldp x16, x17, [x30, #128]
        ldp x18, x19, [x30, #144]
        ldp x20, x21, [x30, #160]
        ldp x22, x23, [x30, #176]
        ldp x24, x25, [x30, #192]
        ldp x26, x27, [x30, #208]
        ldp x28, x29, [x30, #224]
        // The stub takes X30 from TPIDR_EL0.
        adrp x30, host_sp
        add x30, x30, :lo12:host_sp
        ldr x30, [x30, #8]
        br x30
finish: msr tpidr_el0, x30
        adrp x30, current
        add x30, x30, :lo12:current
        stp x0, x1, [x30]
        stp x2, x3, [x30, #16]
        stp x4, x5, [x30, #32]
        stp x6, x7, [x30, #48]
        stp x8, x9, [x30, #64]
        stp x10, x11, [x30, #80]
        stp x12, x13, [x30, #96]
        stp x14, x15, [x30, #112]
        stp x16, x17, [x30, #128]
        stp x18, x19, [x30, #144]
        stp x20, x21, [x30, #160]
        stp x22, x23, [x30, #176]
        stp x24, x25, [x30, #192]
        stp x26, x27, [x30, #208]
        stp x28, x29, [x30, #224]
        mrs x0, tpidr_el0
        str x0, [x30, #240]
        mov x0, sp
        str x0, [x30, #31*8]
        mrs x0, nzcv
        str x0, [x30, #32*8]
        add x1, x30, #33*8
        st1 {v0.2d-v3.2d}, [x1], #64
        st1 {v4.2d-v7.2d}, [x1], #64
        st1 {v8.2d-v11.2d}, [x1], #64
        st1 {v12.2d-v15.2d}, [x1], #64
        st1 {v16.2d-v19.2d}, [x1], #64
        st1 {v20.2d-v23.2d}, [x1], #64
        st1 {v24.2d-v27.2d}, [x1], #64
        st1 {v28.2d-v31.2d}, [x1], #64
        mrs x0, fpcr
        mrs x2, fpsr
        stp x0, x2, [x1]
        msr fpcr, xzr
        adrp x0, host_sp
        ldr x0, [x0, :lo12:host_sp]
        mov sp, x0
        ldp x19, x20, [sp, #16]
        ldp x21, x22, [sp, #32]
        ldp x23, x24, [sp, #48]
        ldp x25, x26, [sp, #64]
        ldp x27, x28, [sp, #80]
        ldp x29, x30, [sp], #112
        ret
        .bss
        .balign 16
host_sp: .skip 16
        .balign 16
current: .skip 33*8 + 64*8 + 32
