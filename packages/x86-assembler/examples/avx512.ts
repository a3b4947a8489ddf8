// Masks, broadcasts and rounding of AVX-512: adds one number to the elements of a vector that are not zero.
import { Assembler, dword, k1, rdi, rnSae, rsi, zmm0, zmm1, zmm2, zmm3, zmmword } from '@retrap/x86-assembler'

const asm = new Assembler({ bits: 64 })

asm.vmovups(zmm1, zmmword(rsi, { disp: 64 }))
asm.vptestmd(k1, zmm1, zmm1)
asm.vaddps(zmm2.k(k1).z(), zmm1, dword(rdi).bcst(16))
asm.vaddps(zmm3, zmm2, zmm0, rnSae)
asm.vmovups(zmmword(rsi).k(k1), zmm3).ret()

console.log(asm.assemble().listing().trimEnd())

// Output:
// ; section text at 0x0
// 00  62 f1 7c 48 10 4e 01               vmovups zmm1, zmmword [rsi + 0x40]
// 07  62 f2 75 48 27 c9                  vptestmd k1, zmm1, zmm1
// 0d  62 f1 74 d9 58 17                  vaddps zmm2 {k1}{z}, zmm1, dword [rdi]{1to16}
// 13  62 f1 6c 18 58 d8                  vaddps zmm3, zmm2, zmm0, {rn-sae}
// 19  62 f1 7c 49 11 1e                  vmovups zmmword [rsi] {k1}, zmm3
// 1f  c3                                 ret
