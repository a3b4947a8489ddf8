@ Loads every register, runs two slots, stores every register. The slots are A32 or, with bit 5 of the PSTATE given, Thumb.
        .syntax unified
        .arch armv8-a
        .fpu crypto-neon-fp-armv8
        .text
        .global _start, execute, slots, slots_thumb, finish, current
        .arm
_start: bl run
execute:
        push {r4-r11, lr}
        ldr r0, =host_sp
        str sp, [r0]
        ldr lr, =current
        add r1, lr, #64
        vldmia r1!, {d0-d15}
        vldmia r1!, {d16-d31}
        ldr r0, =slots
        ldr r1, [lr, #60]
        tst r1, #0x20
        ldrne r0, =slots_thumb + 1
        str r0, target
        msr apsr_nzcvqg, r1
        ldr sp, [lr, #52]
        ldmia lr, {r0-r12}
        ldr lr, [lr, #56]
        ldr pc, target
        .ltorg
target: .word 0
saved:  .word 0
host_sp: .word 0
        .balign 8
slots:  nop
        nop
        b finish
        .balign 8
        .thumb
slots_thumb:
        nop.w
        nop.w
        bx pc
        nop
        .arm
finish:
        str lr, saved
        ldr lr, =current
        stmia lr, {r0-r12}
        mov r0, sp
        str r0, [lr, #52]
        ldr r0, saved
        str r0, [lr, #56]
        mrs r0, cpsr
        str r0, [lr, #60]
        add r1, lr, #64
        vstmia r1!, {d0-d15}
        vstmia r1!, {d16-d31}
        ldr sp, host_sp
        pop {r4-r11, pc}
        .ltorg
        .bss
        .balign 16
current: .skip 64 + 256
