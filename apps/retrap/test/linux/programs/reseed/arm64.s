// The program of src/linux/initramfs.ts: GNU as, AArch64.
        .globl _start
_start: mov     x0, 0
        movz    x1, 0x5207              // RNDRESEEDCRNG
        mov     x8, 29                  // ioctl
        svc     0
        mov     x8, 93                  // exit
        svc     0
