# The program of src/linux/initramfs.ts: GNU as, x86-64.
        .intel_syntax noprefix
        .globl _start
_start: mov     eax, 16                 # ioctl
        xor     edi, edi
        mov     esi, 0x5207             # RNDRESEEDCRNG
        syscall
        mov     edi, eax
        mov     eax, 60                 # exit
        syscall
