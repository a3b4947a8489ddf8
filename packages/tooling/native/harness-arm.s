@ execute(stub): loads every register, runs the stub, stores every register. Bit 0 of the stub's address: Thumb.
        .syntax unified
        .arch armv8-a
        .fpu crypto-neon-fp-armv8
        .text
        .global _start, execute, finish, current
        .arm
_start: bl run
execute:
        push {r4-r11, lr}
        ldr r1, =host_sp
        str sp, [r1]
        str r0, [r1, #4]
        ldr lr, =current
        add r1, lr, #64
        vldmia r1!, {d0-d15}
        vldmia r1!, {d16-d31}
        ldr r1, [r1]
        vmsr fpscr, r1
        ldr r1, [lr, #60]
        msr apsr_nzcvqg, r1
        @ The stub takes LR from TPIDRURW.
        ldr r1, [lr, #56]
        mcr p15, 0, r1, c13, c0, 2
        ldr sp, [lr, #52]
        ldmia lr, {r0-r12}
        ldr lr, =host_sp
        ldr lr, [lr, #4]
        bx lr
        .ltorg
finish:
        mcr p15, 0, lr, c13, c0, 2
        ldr lr, =current
        stmia lr, {r0-r12}
        mov r0, sp
        str r0, [lr, #52]
        mrc p15, 0, r0, c13, c0, 2
        str r0, [lr, #56]
        mrs r0, cpsr
        str r0, [lr, #60]
        add r1, lr, #64
        vstmia r1!, {d0-d15}
        vstmia r1!, {d16-d31}
        vmrs r0, fpscr
        str r0, [r1]
        ldr r0, =host_sp
        ldr sp, [r0]
        pop {r4-r11, pc}
        .ltorg
        .bss
        .balign 16
host_sp: .skip 16
current: .skip 64 + 256 + 8
