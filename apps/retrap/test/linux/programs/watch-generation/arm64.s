// The program of src/linux/initramfs.ts: GNU as, AArch64.
        .globl _start
_start: mov     x0, -100                // AT_FDCWD
        adr     x1, mem
        movz    x2, 0x1000              // O_RDONLY | O_SYNC
        movk    x2, 0x10, lsl 16
        mov     x8, 56                  // openat
        svc     0
        mov     x4, x0
        mov     x0, 0
        mov     x1, 4096
        mov     x2, 1                   // PROT_READ
        mov     x3, 1                   // MAP_SHARED
        movz    x5, 0x090f, lsl 16
        mov     x8, 222                 // mmap
        svc     0
        cmn     x0, 4095
        b.hs    end
        mov     x19, x0
        mov     x0, -100
        adr     x1, random
        mov     x2, 0
        mov     x8, 56
        svc     0
        mov     x20, x0
        ldp     x21, x22, [x19]
again:  adr     x0, pause
        mov     x1, 0
        mov     x8, 101                 // nanosleep
        svc     0
        ldp     x23, x24, [x19]
        cmp     x23, x21
        ccmp    x24, x22, 0, eq
        b.eq    again
        mov     x21, x23
        mov     x22, x24
        movz    x9, 128                 // bits, in 16 bytes
        movk    x9, 16, lsl 32
        stp     x9, x23, [sp, -32]!
        str     x24, [sp, 16]
        mov     x0, x20
        movz    x1, 0x5203              // RNDADDENTROPY
        movk    x1, 0x4008, lsl 16
        mov     x2, sp
        mov     x8, 29                  // ioctl
        svc     0
        add     sp, sp, 32
        mov     x0, x20
        movz    x1, 0x5207              // RNDRESEEDCRNG
        mov     x8, 29
        svc     0
        b       again
end:    mov     x8, 93                  // exit
        svc     0
        .balign 8
pause:  .quad   0, 100000000
mem:    .asciz  "/dev/mem"
random: .asciz  "/dev/random"
