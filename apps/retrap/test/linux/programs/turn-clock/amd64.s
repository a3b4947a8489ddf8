# The program of src/commands/cluster/guest-faults.ts: GNU as, x86-64.
        .intel_syntax noprefix
        .globl _start
_start: sub     rsp, 208                # struct timex
        xor     eax, eax                # read
        xor     edi, edi
        mov     rsi, rsp
        mov     edx, 88                 # up to the time
        syscall
        mov     eax, 305                # clock_adjtime
        xor     edi, edi                # CLOCK_REALTIME
        mov     rsi, rsp
        syscall
        mov     edi, eax
        mov     eax, 60                 # exit
        syscall
