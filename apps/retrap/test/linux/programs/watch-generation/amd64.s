# The program of src/linux/initramfs.ts: GNU as, x86-64.
        .intel_syntax noprefix
        .globl _start
_start: mov     eax, 2                  # open
        lea     rdi, [rip + mem]
        mov     esi, 0x101000           # O_RDONLY | O_SYNC
        syscall
        mov     r8d, eax
        mov     eax, 9                  # mmap
        xor     edi, edi
        mov     esi, 4096
        mov     edx, 1                  # PROT_READ
        mov     r10d, 1                 # MAP_SHARED
        mov     r9d, 0xfed60000
        syscall
        cmp     rax, -4096
        ja      end
        mov     rbx, rax
        mov     eax, 2
        lea     rdi, [rip + random]
        xor     esi, esi
        syscall
        mov     ebp, eax
        mov     r12, [rbx]
        mov     r13, [rbx + 8]
again:  mov     eax, 35                 # nanosleep
        lea     rdi, [rip + pause]
        xor     esi, esi
        syscall
        mov     r14, [rbx]
        mov     r15, [rbx + 8]
        cmp     r14, r12
        jne     new
        cmp     r15, r13
        je      again
new:    mov     r12, r14
        mov     r13, r15
        push    r15
        push    r14
        mov     rax, 0x1000000080       # 128 bits, in 16 bytes
        push    rax
        mov     eax, 16                 # ioctl
        mov     edi, ebp
        mov     esi, 0x40085203         # RNDADDENTROPY
        mov     rdx, rsp
        syscall
        add     rsp, 24
        mov     eax, 16
        mov     edi, ebp
        mov     esi, 0x5207             # RNDRESEEDCRNG
        syscall
        jmp     again
end:    mov     eax, 60                 # exit
        syscall
        .balign 8
pause:  .quad   0, 100000000
mem:    .asciz  "/dev/mem"
random: .asciz  "/dev/random"
