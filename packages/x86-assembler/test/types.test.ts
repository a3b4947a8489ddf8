// What the compiler refuses, the assembler refuses too. Each line marked @ts-expect-error fails the type check if it compiles.
import { describe, expect, expectTypeOf, test } from 'vitest'
import {
  ah,
  al,
  Assembler,
  ax,
  byte,
  cr0,
  cs,
  cx,
  dfv,
  ds,
  dr7,
  dword,
  dx,
  eax,
  ebx,
  far,
  fs,
  k0,
  k1,
  k2,
  mm0,
  ptr,
  qword,
  r16,
  r17,
  r8d,
  rax,
  rbx,
  rcx,
  rnSae,
  sae,
  short,
  st0,
  st1,
  tmm0,
  tmm1,
  tmm2,
  word,
  xmm0,
  xmm1,
  xmm17,
  xmmword,
  ymm1,
  ymm2,
  ymm20,
  ymmword,
  zmm1,
  zmm2,
  zmm3,
  zmm31,
  zmmword,
} from '../src/index.ts'
import type { Broadcast, Gp8, Masked, Memory, OperandTypes, Register, XmmRegister } from '../src/index.ts'

/** Every statement is refused when it runs, too. */
function refused(build: (asm: Assembler) => unknown, bits: 16 | 32 | 64 = 64): void {
  expect(() => build(new Assembler({ bits }))).toThrow(
    /no such form|no such form that|has no such|not in 64-bit mode|is no such|must|cannot|stands for none/,
  )
}

describe('operands that do not exist do not compile', () => {
  test('sizes that differ', () => {
    // @ts-expect-error a 32-bit and a 64-bit register
    refused((asm) => asm.mov(eax, rbx))
    // @ts-expect-error memory that is too narrow
    refused((asm) => asm.add(rax, dword(rbx)))
    // @ts-expect-error memory that is too wide
    refused((asm) => asm.xor(byte(rbx), eax))
    // @ts-expect-error MOVZX does not narrow
    refused((asm) => asm.movzx(ax, ebx))
    // @ts-expect-error ADDSD has 64 bits of memory
    refused((asm) => asm.addsd(xmm0, xmmword(rbx)))
    // @ts-expect-error IMUL has no byte form with two operands
    refused((asm) => asm.imul(al, ah))
    // @ts-expect-error a far pointer in memory is not a qword in LGDT
    refused((asm) => asm.lgdt(qword(rbx)))
    // @ts-expect-error XMM and YMM
    refused((asm) => asm.vaddps(ymm1, ymm2, xmm0))
  })

  test('kinds of register', () => {
    // @ts-expect-error a shift count is in CL
    refused((asm) => asm.shl(eax, cx))
    // @ts-expect-error control registers move whole
    refused((asm) => asm.mov(cr0, ax))
    // @ts-expect-error control registers do not add
    refused((asm) => asm.add(cr0, rax))
    // @ts-expect-error debug registers do not move to memory
    refused((asm) => asm.mov(qword(rbx), dr7))
    // @ts-expect-error segment to segment
    refused((asm) => asm.mov(ds, fs))
    // @ts-expect-error segment registers do no arithmetic
    refused((asm) => asm.add(ds, ax))
    // @ts-expect-error an immediate does not go to a segment register
    refused((asm) => asm.mov(ds, 5))
    // @ts-expect-error MMX and SSE
    refused((asm) => asm.paddb(mm0, xmm0))
    // @ts-expect-error the x87 adds its own registers
    refused((asm) => asm.fadd(st0, xmm0))
    // @ts-expect-error a port number in a register is in DX
    refused((asm) => asm.in(al, eax))
    // @ts-expect-error general registers are no vectors
    refused((asm) => asm.addps(xmm0, rax))
    // @ts-expect-error masks are not general registers
    refused((asm) => asm.kaddw(k0, k1, eax))
    // @ts-expect-error tiles are multiplied by tiles
    refused((asm) => asm.tdpbssd(tmm0, tmm1, zmm2))
    // @ts-expect-error XMM16 to XMM31 need EVEX, which ADDPS has not
    refused((asm) => asm.addps(xmm17, xmm0))
    // @ts-expect-error and VPHADDW has not either
    refused((asm) => asm.vphaddw(ymm1, ymm2, ymm20))
  })

  test('memory where a register must be, and the other way round', () => {
    // @ts-expect-error memory to memory
    refused((asm) => asm.mov(dword(rax), dword(rbx)))
    // @ts-expect-error LEA takes an address
    refused((asm) => asm.lea(rax, rbx))
    // @ts-expect-error INVLPG takes an address
    refused((asm) => asm.invlpg(rax))
    // @ts-expect-error MOVNTDQ stores
    refused((asm) => asm.movntdq(xmm0, xmm1))
    // @ts-expect-error PMOVMSKB reads a register
    refused((asm) => asm.pmovmskb(eax, xmmword(rbx)))
    // @ts-expect-error BSWAP has no memory operand
    refused((asm) => asm.bswap(dword(rbx)))
  })

  test('immediates and counts of operands', () => {
    // @ts-expect-error an immediate is no destination
    refused((asm) => asm.add(1, eax))
    // @ts-expect-error too many
    refused((asm) => asm.hlt(1))
    // @ts-expect-error too few
    refused((asm) => asm.add(eax))
    // @ts-expect-error a distance class belongs to branches
    refused((asm) => asm.add(eax, short(0)))
    // @ts-expect-error a far pointer belongs to far branches
    refused((asm) => asm.push(far(8, 0)))
    // @ts-expect-error there is no such instruction
    expect(() => new Assembler().frobnicate()).toThrow(TypeError)
  })

  test('masks, broadcasts and rounding', () => {
    // @ts-expect-error a mask is on the destination
    refused((asm) => asm.vaddps(zmm1, zmm2.k(k1), zmm3))
    // @ts-expect-error SSE has no masks
    refused((asm) => asm.addps(xmm0.k(k1), xmm1))
    // @ts-expect-error a mask is a mask register
    refused((asm) => asm.vaddps(zmm1.k(eax), zmm2, zmm3))
    // @ts-expect-error memory is not zeroed
    expect(() => new Assembler().vmovups(zmmword(rax).k(k1).z(), zmm2)).toThrow(TypeError)
    // @ts-expect-error general registers have no mask
    expect(() => rax.k(k1)).toThrow(TypeError)
    // @ts-expect-error the elements are 32 bits wide
    refused((asm) => asm.vaddps(zmm1, zmm2, qword(rax).bcst(16)))
    // @ts-expect-error a scalar is not broadcast
    refused((asm) => asm.vaddss(xmm0, xmm1, dword(rax).bcst(4)))
    // @ts-expect-error MOVUPS loads all it has
    refused((asm) => asm.vmovups(zmm1, dword(rax).bcst(16)))
    // @ts-expect-error memory does not round
    refused((asm) => asm.vaddps(zmm1, zmm2, zmmword(rax), rnSae))
    // @ts-expect-error integers do not round
    refused((asm) => asm.vpaddd(zmm1, zmm2, zmm3, rnSae))
    // @ts-expect-error static rounding is of 512 bits
    refused((asm) => asm.vaddps(ymm1, ymm2, ymm1, rnSae))
    // @ts-expect-error rounding stands in front of the immediate
    refused((asm) => asm.vrndscaleps(zmm1, zmm2, 1, sae))
  })

  test('the new data destinations and conditional compares of APX', () => {
    // @ts-expect-error three operands of two sizes
    refused((asm) => asm.add(rax, ebx, rcx))
    // @ts-expect-error a new data destination is a register
    refused((asm) => asm.add(qword(rax), rbx, rcx))
    // @ts-expect-error MOV has no new data destination
    refused((asm) => asm.mov(rax, rbx, rcx))
    // @ts-expect-error a conditional compare wants to know its default flags
    refused((asm) => asm.ccmpz(rax, rbx))
    // @ts-expect-error a pair of registers is of 64 bits
    refused((asm) => asm.push2(eax, ebx))
    // @ts-expect-error K0 stands for no mask
    refused((asm) => asm.vaddps(zmm1.k(k0), zmm2, zmm3))
    // @ts-expect-error under which nothing is stored either
    refused((asm) => asm.vmovups(zmmword(rax).k(k0), zmm1))
  })

  test('what the types cannot tell is refused when it runs', () => {
    refused((asm) => asm.vaddps(zmm1, zmm2, dword(rax).bcst(8)))
    refused((asm) => asm.mov(cs, ax))
    refused((asm) => asm.mov(r8d, 1), 32)
    refused((asm) => asm.vgatherdps(zmm1, dword(rax, { index: zmm31 })))
    refused((asm) => asm.vgatherdps(zmm1.k(k1), dword(rax, { index: zmm1 })))
    refused((asm) => asm.nf().adc(rax, rbx))
    refused((asm) => asm.pop2(rax, rax))
    refused((asm) => asm.pshufb(xmm0, xmmword(r16)))
    refused((asm) => asm.vpscatterdd(dword(rax, { index: ymm1 }).k(k2), zmm1))
  })
})

describe('what exists compiles', () => {
  test('one of each kind', () => {
    const asm = new Assembler()
    asm
      .mov(eax, ebx)
      .mov(rax, qword(rbx, { index: rcx, scale: 8, disp: 16 }))
      .mov(eax, ptr(rbx))
      .mov(cr0, rax)
    asm.mov(ds, ax).in(al, dx).fadd(st0, st1).lgdt(ptr(rbx)).paddb(mm0, qword(rax)).movzx(eax, byte(rbx))
    asm.test(eax, dword(rbx)).xchg(rbx, rax).shl(word(rax), 1).imul(eax, ebx, 5).vaddps(xmm17, xmm0, xmm1)
    asm.vaddps(zmm1.k(k1).z(), zmm2, dword(rax).bcst(16)).vaddps(zmm1, zmm2, zmm3, rnSae)
    asm.vcmpps(k1.k(k2), zmm1, zmm2, sae, 5).vmovups(ymmword(rax).k(k1), ymm20)
    asm.vgatherdps(zmm1.k(k1), dword(rax, { index: zmm31, scale: 4 })).tdpbssd(tmm0, tmm1, tmm2)
    asm.add(rax, rbx, r16).nf().sub(r16, qword(r17)).ccmpz(dfv('cf', 'zf'), rax, rbx).push2(rax, r17).setzub(al)
    expect(asm.assemble().bytes.length).toBe(109)
  })

  test('the types say what they mean', () => {
    expectTypeOf(al).toEqualTypeOf<Register<'gp8'>>()
    expectTypeOf<Gp8>().toExtend<OperandTypes.Rm8>()
    expectTypeOf(byte(rax)).toEqualTypeOf<Memory<1>>()
    expectTypeOf(zmm1.k(k1)).toExtend<Masked>()
    expectTypeOf(dword(rax).bcst(16)).toEqualTypeOf<Broadcast<4>>()
    expectTypeOf(xmm17).not.toExtend<XmmRegister>()
    expectTypeOf<Parameters<Assembler['addps']>>().toEqualTypeOf<[XmmRegister, XmmRegister | Memory<0 | 16>]>()
    expectTypeOf<Parameters<Assembler['bswap']>[0]['class']>().toEqualTypeOf<'gp16' | 'gp32' | 'gp64'>()
    expectTypeOf<ReturnType<Assembler['hlt']>>().toEqualTypeOf<Assembler>()
  })
})
