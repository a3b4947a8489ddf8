// Loops over arrays, each with SSE, AVX2 and AVX-512: the same work on the same data, with the same result.
import {
  type Assembler,
  type MaskRegister,
  dword,
  eax,
  ebx,
  ecx,
  edx,
  k1,
  r8,
  rax,
  rbx,
  rcx,
  rdi,
  rdx,
  rsi,
  xmm0,
  xmm1,
  xmm2,
  xmm7,
  xmmword,
  ymm0,
  ymm1,
  ymm2,
  ymm3,
  ymm4,
  ymm5,
  ymm6,
  ymm7,
  ymm8,
  ymm9,
  ymm10,
  ymmword,
  zmm0,
  zmm1,
  zmm16,
  zmm17,
  zmm18,
  zmm19,
  zmmword,
} from '@retrap/x86-assembler'

/** Addresses: two arrays of small numbers, one of bytes, tables, and where sums and the second array's copy go. */
export const BASE = 0x10_0000
export const [X, Y, TEXT, TABLE, RESULT] = [0x11_0000, 0x12_0000, 0x13_0000, 0x14_0000, 0x15_0000] as const
export const END = 0x16_0000
/** Bytes of an array. */
export const BYTES = 0x4000

/** Offsets in {@link TABLE}: constants, indices of the elements to be kept by mask, of 8 and of 4 elements. */
const [ONES, TWO, THREE, KEEP_8, KEEP_4] = [0, 64, 128, 0x1000, 0x4000] as const
const TAIL_MASK = 192
const LOOKUP = 256
/** Elements of a row in the kernels with a tail, and bytes of a short copy. */
const ROW = 13
const SHORT = 45

export type Width = 'sse' | 'avx2' | 'avx512'
export interface Kernel {
  readonly name: string
  /** Elements of a pass. */
  readonly elements: number
  /** X and Y hold numbers of single precision; else they hold integers. */
  readonly isFloat?: boolean
  /** AVX-512's form is under a mask. */
  readonly isMasked?: boolean
  /** Emit a pass; RSI and RDI are X and Y, R8 is TABLE, RDX is RESULT. */
  readonly code: Readonly<Partial<Record<Width, (asm: Assembler) => void>>>
}

/** A loop over the arrays, whose offset is in RAX. */
function each(asm: Assembler, step: number, body: () => void, bytes = BYTES): void {
  asm.xor(eax, eax)
  const loop = asm.here('loop')
  body()
  asm.add(rax, step).cmp(rax, bytes).jb(loop)
}

const x = { index: rax }
/** Behind the elements that a filter has kept; what lies there is set to zero at its end. */
const kept = { index: rbx, scale: 4 } as const
const table = (disp: number): { readonly disp: number } => ({ disp })

/** Adds the lanes of ZMM0 up to what fits YMM0. */
function fold(asm: Assembler): Assembler {
  return asm.vextractf64x4(ymm1, zmm0, 1)
}

/** A lookup of bytes or doublewords in four tables, YMM4 to YMM7, by the two bits of an index above a table's. */
function lookUp(asm: Assembler, isByte: boolean): void {
  asm.vmovdqu(ymm0, ymmword(rsi, x))
  const indices = [ymm4, ymm5, ymm6, ymm7]
  for (const [i, to] of [ymm1, ymm2, ymm3, ymm10].entries()) {
    if (isByte) asm.vpshufb(to, indices[i]!, ymm0)
    else asm.vpermd(to, ymm0, indices[i]!)
  }
  if (isByte) {
    asm.vpslld(ymm8, ymm0, 3).vpslld(ymm9, ymm0, 2)
    asm.vpblendvb(ymm1, ymm1, ymm2, ymm8).vpblendvb(ymm3, ymm3, ymm10, ymm8).vpblendvb(ymm1, ymm1, ymm3, ymm9)
  } else {
    asm.vpslld(ymm8, ymm0, 28).vpslld(ymm9, ymm0, 27)
    asm.vblendvps(ymm1, ymm1, ymm2, ymm8).vblendvps(ymm3, ymm3, ymm10, ymm8).vblendvps(ymm1, ymm1, ymm3, ymm9)
  }
  asm.vmovdqu(ymmword(rdi, x), ymm1)
}

/** Sets a mask's lowest bits. */
const lowest = (asm: Assembler, mask: MaskRegister, count: number): Assembler =>
  asm.mov(rcx, (1n << BigInt(count)) - 1n).kmovq(mask, rcx)

const FLOATS = BYTES / 4
export const KERNELS: readonly Kernel[] = [
  {
    name: 'saxpy',
    elements: FLOATS,
    isFloat: true,
    code: {
      sse: (asm) => {
        asm.movups(xmm7, xmmword(r8, table(TWO)))
        each(asm, 16, () => {
          asm.movups(xmm0, xmmword(rsi, x)).mulps(xmm0, xmm7).movups(xmm1, xmmword(rdi, x))
          asm.addps(xmm1, xmm0).movups(xmmword(rdi, x), xmm1)
        })
      },
      avx2: (asm) => {
        asm.vmovups(ymm7, ymmword(r8, table(TWO)))
        each(asm, 32, () => {
          asm.vmovups(ymm0, ymmword(rdi, x)).vfmadd231ps(ymm0, ymm7, ymmword(rsi, x)).vmovups(ymmword(rdi, x), ymm0)
        })
      },
      avx512: (asm) => {
        asm.vbroadcastss(zmm17, dword(r8, table(TWO)))
        each(asm, 64, () => {
          asm.vmovups(zmm16, zmmword(rdi, x)).vfmadd231ps(zmm16, zmm17, zmmword(rsi, x))
          asm.vmovups(zmmword(rdi, x), zmm16)
        })
      },
    },
  },
  {
    name: 'dot product',
    elements: FLOATS,
    isFloat: true,
    code: {
      sse: (asm) => {
        asm.xorps(xmm0, xmm0)
        each(asm, 16, () => asm.movups(xmm1, xmmword(rsi, x)).mulps(xmm1, xmmword(rdi, x)).addps(xmm0, xmm1))
        asm.movups(xmmword(rdx), xmm0)
      },
      avx2: (asm) => {
        asm.vxorps(ymm0, ymm0, ymm0)
        each(asm, 32, () => asm.vmovups(ymm1, ymmword(rsi, x)).vfmadd231ps(ymm0, ymm1, ymmword(rdi, x)))
        asm.vmovups(ymmword(rdx), ymm0)
      },
      avx512: (asm) => {
        asm.vpxord(zmm0, zmm0, zmm0)
        each(asm, 64, () => asm.vmovups(zmm16, zmmword(rsi, x)).vfmadd231ps(zmm0, zmm16, zmmword(rdi, x)))
        fold(asm).vaddps(ymm0, ymm0, ymm1).vmovups(ymmword(rdx), ymm0)
      },
    },
  },
  {
    name: 'dot product of bytes (VNNI)',
    elements: BYTES,
    code: {
      sse: (asm) => {
        asm.pxor(xmm0, xmm0).movdqu(xmm7, xmmword(r8, table(ONES)))
        each(asm, 16, () => {
          asm.movdqu(xmm1, xmmword(rsi, x)).movdqu(xmm2, xmmword(rdi, x)).pmaddubsw(xmm1, xmm2)
          asm.pmaddwd(xmm1, xmm7).paddd(xmm0, xmm1)
        })
        asm.movdqu(xmmword(rdx), xmm0)
      },
      avx2: (asm) => {
        asm.vpxor(ymm0, ymm0, ymm0).vmovdqu(ymm7, ymmword(r8, table(ONES)))
        each(asm, 32, () => {
          asm.vmovdqu(ymm1, ymmword(rsi, x)).vpmaddubsw(ymm1, ymm1, ymmword(rdi, x))
          asm.vpmaddwd(ymm1, ymm1, ymm7).vpaddd(ymm0, ymm0, ymm1)
        })
        asm.vmovdqu(ymmword(rdx), ymm0)
      },
      avx512: (asm) => {
        asm.vpxord(zmm0, zmm0, zmm0)
        each(asm, 64, () => asm.vmovdqu32(zmm16, zmmword(rsi, x)).vpdpbusd(zmm0, zmm16, zmmword(rdi, x)))
        fold(asm).vpaddd(ymm0, ymm0, ymm1).vmovdqu(ymmword(rdx), ymm0)
      },
    },
  },
  {
    name: 'copy',
    elements: BYTES,
    code: {
      sse: (asm) => each(asm, 16, () => asm.movdqu(xmm0, xmmword(rsi, x)).movdqu(xmmword(rdi, x), xmm0)),
      avx2: (asm) => each(asm, 32, () => asm.vmovdqu(ymm0, ymmword(rsi, x)).vmovdqu(ymmword(rdi, x), ymm0)),
      avx512: (asm) => each(asm, 64, () => asm.vmovdqu64(zmm16, zmmword(rsi, x)).vmovdqu64(zmmword(rdi, x), zmm16)),
    },
  },
  {
    name: 'search of a byte',
    elements: BYTES,
    code: {
      sse: (asm) => {
        asm.mov(rsi, TEXT).pxor(xmm7, xmm7).mov(rax, -16)
        const loop = asm.here('loop')
        asm.add(rax, 16).movdqu(xmm0, xmmword(rsi, x)).pcmpeqb(xmm0, xmm7).pmovmskb(ecx, xmm0).test(ecx, ecx).je(loop)
        asm.bsf(ecx, ecx).add(rax, rcx).mov(dword(rdx), eax)
      },
      avx2: (asm) => {
        asm.mov(rsi, TEXT).vpxor(ymm7, ymm7, ymm7).mov(rax, -32)
        const loop = asm.here('loop')
        asm.add(rax, 32).vpcmpeqb(ymm0, ymm7, ymmword(rsi, x)).vpmovmskb(ecx, ymm0).test(ecx, ecx).je(loop)
        asm.tzcnt(ecx, ecx).add(rax, rcx).mov(dword(rdx), eax)
      },
      avx512: (asm) => {
        asm.mov(rsi, TEXT).mov(rax, -64)
        const loop = asm.here('loop')
        asm.add(rax, 64).vmovdqu8(zmm16, zmmword(rsi, x)).vptestnmb(k1, zmm16, zmm16).kortestq(k1, k1).je(loop)
        asm.kmovq(rcx, k1).tzcnt(rcx, rcx).add(rax, rcx).mov(dword(rdx), eax)
      },
    },
  },
  {
    name: 'lookup of bytes (VPERMB)',
    elements: BYTES,
    code: {
      avx2: (asm) => {
        for (const [i, to] of [ymm4, ymm5, ymm6, ymm7].entries())
          asm.vbroadcasti128(to, xmmword(r8, table(LOOKUP + 16 * i)))
        each(asm, 32, () => lookUp(asm, true))
      },
      avx512: (asm) => {
        asm.vmovdqu8(zmm17, zmmword(r8, table(LOOKUP)))
        each(asm, 64, () => {
          asm.vmovdqu8(zmm16, zmmword(rsi, x)).vpermb(zmm16, zmm16, zmm17).vmovdqu8(zmmword(rdi, x), zmm16)
        })
      },
    },
  },
  {
    name: 'lookup of doublewords (VPERMI2D)',
    elements: FLOATS,
    code: {
      avx2: (asm) => {
        for (const [i, to] of [ymm4, ymm5, ymm6, ymm7].entries()) asm.vmovdqu(to, ymmword(r8, table(LOOKUP + 32 * i)))
        each(asm, 32, () => lookUp(asm, false))
      },
      avx512: (asm) => {
        asm.vmovdqu32(zmm17, zmmword(r8, table(LOOKUP))).vmovdqu32(zmm18, zmmword(r8, table(LOOKUP + 64)))
        each(asm, 64, () => {
          asm.vmovdqu32(zmm16, zmmword(rsi, x)).vpermi2d(zmm16, zmm17, zmm18).vmovdqu32(zmmword(rdi, x), zmm16)
        })
      },
    },
  },
  {
    name: 'sum where greater',
    elements: FLOATS,
    isFloat: true,
    isMasked: true,
    code: {
      sse: (asm) => {
        asm.movups(xmm7, xmmword(r8, table(THREE)))
        each(asm, 16, () => {
          asm.movups(xmm0, xmmword(rsi, x)).movaps(xmm1, xmm7).cmpps(xmm1, xmm0, 1).andps(xmm1, xmm0)
          asm.movups(xmm2, xmmword(rdi, x)).addps(xmm1, xmm2).movups(xmmword(rdi, x), xmm1)
        })
      },
      avx2: (asm) => {
        asm.vmovups(ymm7, ymmword(r8, table(THREE)))
        each(asm, 32, () => {
          asm.vmovups(ymm0, ymmword(rsi, x)).vcmpps(ymm1, ymm7, ymm0, 1).vandps(ymm1, ymm1, ymm0)
          asm.vaddps(ymm1, ymm1, ymmword(rdi, x)).vmovups(ymmword(rdi, x), ymm1)
        })
      },
      avx512: (asm) => {
        asm.vmovups(zmm17, zmmword(r8, table(THREE)))
        each(asm, 64, () => {
          asm.vmovups(zmm16, zmmword(rsi, x)).vcmpps(k1, zmm17, zmm16, 1).vmovups(zmm1, zmmword(rdi, x))
          asm.vaddps(zmm1.k(k1), zmm1, zmm16).vmovups(zmmword(rdi, x), zmm1)
        })
      },
    },
  },
  {
    name: 'store where greater',
    elements: FLOATS,
    isMasked: true,
    code: {
      avx2: (asm) => {
        asm.vmovdqu(ymm7, ymmword(r8, table(THREE)))
        each(asm, 32, () => {
          asm.vmovdqu(ymm0, ymmword(rsi, x)).vpcmpgtd(ymm1, ymm0, ymm7).vmovdqu(ymm2, ymmword(rdi, x))
          asm.vpblendvb(ymm2, ymm2, ymm0, ymm1).vmovdqu(ymmword(rdi, x), ymm2)
        })
      },
      avx512: (asm) => {
        asm.vmovdqu32(zmm17, zmmword(r8, table(THREE)))
        each(asm, 64, () => {
          asm.vmovdqu32(zmm16, zmmword(rsi, x)).vpcmpgtd(k1, zmm16, zmm17).vmovdqu32(zmmword(rdi, x).k(k1), zmm16)
        })
      },
    },
  },
  {
    name: `rows of ${ROW} numbers`,
    elements: ROW * 256,
    isFloat: true,
    isMasked: true,
    code: {
      avx2: (asm) => {
        asm.vmovups(ymm7, ymmword(r8, table(TWO))).vmovdqu(ymm6, ymmword(r8, table(TAIL_MASK)))
        const above = { index: rax, disp: 32 }
        each(
          asm,
          4 * ROW,
          () => {
            asm.vmovups(ymm0, ymmword(rdi, x)).vfmadd231ps(ymm0, ymm7, ymmword(rsi, x)).vmovups(ymmword(rdi, x), ymm0)
            asm.vmaskmovps(ymm0, ymm6, ymmword(rdi, above)).vmaskmovps(ymm1, ymm6, ymmword(rsi, above))
            asm.vfmadd231ps(ymm0, ymm7, ymm1).vmaskmovps(ymmword(rdi, above), ymm6, ymm0)
          },
          4 * ROW * 256,
        )
      },
      avx512: (asm) => {
        lowest(asm, k1, ROW).vmovups(zmm17, zmmword(r8, table(TWO)))
        each(
          asm,
          4 * ROW,
          () => {
            asm.vmovups(zmm16.k(k1).z(), zmmword(rdi, x)).vfmadd231ps(zmm16.k(k1), zmm17, zmmword(rsi, x))
            asm.vmovups(zmmword(rdi, x).k(k1), zmm16)
          },
          4 * ROW * 256,
        )
      },
    },
  },
  {
    name: `copies of ${SHORT} bytes`,
    elements: SHORT * 256,
    isMasked: true,
    code: {
      avx2: (asm) => {
        const end = { index: rax, disp: SHORT - 32 }
        each(
          asm,
          SHORT,
          () => {
            asm.vmovdqu(ymm0, ymmword(rsi, x)).vmovdqu(ymm1, ymmword(rsi, end))
            asm.vmovdqu(ymmword(rdi, x), ymm0).vmovdqu(ymmword(rdi, end), ymm1)
          },
          SHORT * 256,
        )
      },
      avx512: (asm) => {
        lowest(asm, k1, SHORT)
        each(
          asm,
          SHORT,
          () => asm.vmovdqu8(zmm16.k(k1).z(), zmmword(rsi, x)).vmovdqu8(zmmword(rdi, x).k(k1), zmm16),
          SHORT * 256,
        )
      },
    },
  },
  {
    name: 'filter (VPCOMPRESSD)',
    elements: FLOATS,
    isMasked: true,
    code: {
      sse: (asm) => {
        asm
          .movdqu(xmm7, xmmword(r8, table(THREE)))
          .xor(ebx, ebx)
          .add(r8, KEEP_4)
        each(asm, 16, () => {
          asm.movdqu(xmm0, xmmword(rsi, x)).movdqu(xmm1, xmm0).pcmpgtd(xmm1, xmm7).movmskps(ecx, xmm1)
          asm
            .mov(edx, ecx)
            .shl(edx, 4)
            .movdqu(xmm2, xmmword(r8, { index: rdx }))
            .pshufb(xmm0, xmm2)
          asm.movdqu(xmmword(rdi, kept), xmm0).popcnt(ecx, ecx).add(rbx, rcx)
        })
        asm.pxor(xmm0, xmm0)
        for (let disp = 0; disp < 64; disp += 16) asm.movdqu(xmmword(rdi, { ...kept, disp }), xmm0)
      },
      avx2: (asm) => {
        asm
          .vmovdqu(ymm7, ymmword(r8, table(THREE)))
          .xor(ebx, ebx)
          .add(r8, KEEP_8)
        each(asm, 32, () => {
          asm.vmovdqu(ymm0, ymmword(rsi, x)).vpcmpgtd(ymm1, ymm0, ymm7).vmovmskps(ecx, ymm1).mov(edx, ecx).shl(edx, 5)
          asm.vmovdqu(ymm2, ymmword(r8, { index: rdx })).vpermd(ymm0, ymm2, ymm0)
          asm.vmovdqu(ymmword(rdi, kept), ymm0).popcnt(ecx, ecx).add(rbx, rcx)
        })
        asm.vpxor(ymm0, ymm0, ymm0)
        for (let disp = 0; disp < 64; disp += 32) asm.vmovdqu(ymmword(rdi, { ...kept, disp }), ymm0)
      },
      avx512: (asm) => {
        asm.vmovdqu32(zmm17, zmmword(r8, table(THREE))).xor(ebx, ebx)
        each(asm, 64, () => {
          asm.vmovdqu32(zmm19, zmmword(rsi, x)).vpcmpgtd(k1, zmm19, zmm17).vpcompressd(zmm18.k(k1).z(), zmm19)
          asm.vmovdqu32(zmmword(rdi, kept), zmm18)
          asm.kmovd(ecx, k1).popcnt(ecx, ecx).add(rbx, rcx)
        })
        asm.vpxord(zmm0, zmm0, zmm0).vmovdqu32(zmmword(rdi, kept), zmm0)
      },
    },
  },
]

/** The memory from {@link BASE} to {@link END} before a kernel. */
export function dataOf({ isFloat = false }: Kernel): Uint8Array {
  const bytes = new Uint8Array(END - BASE)
  const view = new DataView(bytes.buffer)
  const set = (at: number, value: number): void =>
    isFloat ? view.setFloat32(at - BASE, value, true) : view.setInt32(at - BASE, value, true)
  for (let i = 0; i < FLOATS + 16; i++) {
    const random = Math.imul(i + 1, 0x9e37_79b1) >>> 27
    set(X + 4 * i, isFloat ? random & 7 : random & 31)
    set(Y + 4 * i, i & 7)
  }
  bytes.fill(0x55, TEXT - BASE, TEXT - BASE + BYTES - 5)
  for (let i = 0; i < 16; i++) {
    view.setInt32(TABLE - BASE + ONES + 4 * i, 0x1_0001, true)
    set(TABLE + TWO + 4 * i, 2)
    set(TABLE + THREE + 4 * i, isFloat ? 3 : 12)
    view.setInt32(TABLE - BASE + TAIL_MASK + 4 * i, i < ROW - 8 ? -1 : 0, true)
  }
  for (let i = 0; i < 128; i++) bytes[TABLE - BASE + LOOKUP + i] = Math.imul(i + 1, 0x35)
  for (let mask = 0; mask < 256; mask++) {
    const kept = Array.from({ length: 8 }, (_, i) => i).filter((i) => ((mask >>> i) & 1) !== 0)
    for (const [i, element] of kept.entries()) {
      view.setInt32(TABLE - BASE + KEEP_8 + 32 * mask + 4 * i, element, true)
      if (mask < 16) view.setInt32(TABLE - BASE + KEEP_4 + 16 * mask + 4 * i, 0x0302_0100 + 0x0404_0404 * element, true)
    }
  }
  return bytes
}
