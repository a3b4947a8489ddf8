// The program of src/commands/cluster/guest-faults.ts: GNU as, AArch64.
        .globl _start
_start: sub     sp, sp, 208             // struct timex
        mov     x0, 0
        mov     x1, sp
        mov     x2, 88                  // up to the time
        mov     x8, 63                  // read
        svc     0
        mov     x0, 0                   // CLOCK_REALTIME
        mov     x1, sp
        mov     x8, 266                 // clock_adjtime
        svc     0
        mov     x8, 93                  // exit
        svc     0
