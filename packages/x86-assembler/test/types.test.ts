// What the compiler refuses, the assembler refuses too. Each line marked @ts-expect-error fails the type check if it compiles.
import { describe, expect, expectTypeOf, test } from 'vitest'
import * as x86 from '../src/index.ts'
import type { Broadcast, Gp8, Masked, Memory, OperandTypes, Register, XmmRegister } from '../src/index.ts'

/** Every statement is refused when it runs, too. */
function refused(build: (asm: x86.Assembler) => unknown, bits: 16 | 32 | 64 = 64): void {
  expect(() => build(new x86.Assembler({ bits }))).toThrow(
    /no such form|no such form that|has no such|not in 64-bit mode|is no such|must|cannot|stands for none/,
  )
}

describe('operands that do not exist do not compile', () => {
  test('sizes that differ', () => {
    // @ts-expect-error a 32-bit and a 64-bit register
    refused((asm) => asm.mov(x86.eax, x86.rbx))
    // @ts-expect-error memory that is too narrow
    refused((asm) => asm.add(x86.rax, x86.dword(x86.rbx)))
    // @ts-expect-error memory that is too wide
    refused((asm) => asm.xor(x86.byte(x86.rbx), x86.eax))
    // @ts-expect-error MOVZX does not narrow
    refused((asm) => asm.movzx(x86.ax, x86.ebx))
    // @ts-expect-error ADDSD has 64 bits of memory
    refused((asm) => asm.addsd(x86.xmm0, x86.xmmword(x86.rbx)))
    // @ts-expect-error IMUL has no byte form with two operands
    refused((asm) => asm.imul(x86.al, x86.ah))
    // @ts-expect-error a far pointer in memory is not a qword in LGDT
    refused((asm) => asm.lgdt(x86.qword(x86.rbx)))
    // @ts-expect-error XMM and YMM
    refused((asm) => asm.vaddps(x86.ymm1, x86.ymm2, x86.xmm0))
  })

  test('kinds of register', () => {
    // @ts-expect-error a shift count is in CL
    refused((asm) => asm.shl(x86.eax, x86.cx))
    // @ts-expect-error control registers move whole
    refused((asm) => asm.mov(x86.cr0, x86.ax))
    // @ts-expect-error control registers do not add
    refused((asm) => asm.add(x86.cr0, x86.rax))
    // @ts-expect-error debug registers do not move to memory
    refused((asm) => asm.mov(x86.qword(x86.rbx), x86.dr7))
    // @ts-expect-error segment to segment
    refused((asm) => asm.mov(x86.ds, x86.fs))
    // @ts-expect-error segment registers do no arithmetic
    refused((asm) => asm.add(x86.ds, x86.ax))
    // @ts-expect-error an immediate does not go to a segment register
    refused((asm) => asm.mov(x86.ds, 5))
    // @ts-expect-error MMX and SSE
    refused((asm) => asm.paddb(x86.mm0, x86.xmm0))
    // @ts-expect-error the x87 adds its own registers
    refused((asm) => asm.fadd(x86.st0, x86.xmm0))
    // @ts-expect-error a port number in a register is in DX
    refused((asm) => asm.in(x86.al, x86.eax))
    // @ts-expect-error general registers are no vectors
    refused((asm) => asm.addps(x86.xmm0, x86.rax))
    // @ts-expect-error masks are not general registers
    refused((asm) => asm.kaddw(x86.k0, x86.k1, x86.eax))
    // @ts-expect-error tiles are multiplied by tiles
    refused((asm) => asm.tdpbssd(x86.tmm0, x86.tmm1, x86.zmm2))
    // @ts-expect-error XMM16 to XMM31 need EVEX, which ADDPS has not
    refused((asm) => asm.addps(x86.xmm17, x86.xmm0))
    // @ts-expect-error and VPHADDW has not either
    refused((asm) => asm.vphaddw(x86.ymm1, x86.ymm2, x86.ymm20))
  })

  test('memory where a register must be, and the other way round', () => {
    // @ts-expect-error memory to memory
    refused((asm) => asm.mov(x86.dword(x86.rax), x86.dword(x86.rbx)))
    // @ts-expect-error LEA takes an address
    refused((asm) => asm.lea(x86.rax, x86.rbx))
    // @ts-expect-error INVLPG takes an address
    refused((asm) => asm.invlpg(x86.rax))
    // @ts-expect-error MOVNTDQ stores
    refused((asm) => asm.movntdq(x86.xmm0, x86.xmm1))
    // @ts-expect-error PMOVMSKB reads a register
    refused((asm) => asm.pmovmskb(x86.eax, x86.xmmword(x86.rbx)))
    // @ts-expect-error BSWAP has no memory operand
    refused((asm) => asm.bswap(x86.dword(x86.rbx)))
  })

  test('immediates and counts of operands', () => {
    // @ts-expect-error an immediate is no destination
    refused((asm) => asm.add(1, x86.eax))
    // @ts-expect-error too many
    refused((asm) => asm.hlt(1))
    // @ts-expect-error too few
    refused((asm) => asm.add(x86.eax))
    // @ts-expect-error a distance class belongs to branches
    refused((asm) => asm.add(x86.eax, x86.short(0)))
    // @ts-expect-error a far pointer belongs to far branches
    refused((asm) => asm.push(x86.far(8, 0)))
    // @ts-expect-error there is no such instruction
    expect(() => new x86.Assembler().frobnicate()).toThrow(TypeError)
  })

  test('masks, broadcasts and rounding', () => {
    // @ts-expect-error a mask is on the destination
    refused((asm) => asm.vaddps(x86.zmm1, x86.zmm2.k(x86.k1), x86.zmm3))
    // @ts-expect-error SSE has no masks
    refused((asm) => asm.addps(x86.xmm0.k(x86.k1), x86.xmm1))
    // @ts-expect-error a mask is a mask register
    refused((asm) => asm.vaddps(x86.zmm1.k(x86.eax), x86.zmm2, x86.zmm3))
    // @ts-expect-error memory is not zeroed
    expect(() => new x86.Assembler().vmovups(x86.zmmword(x86.rax).k(x86.k1).z(), x86.zmm2)).toThrow(TypeError)
    // @ts-expect-error general registers have no mask
    expect(() => x86.rax.k(x86.k1)).toThrow(TypeError)
    // @ts-expect-error the elements are 32 bits wide
    refused((asm) => asm.vaddps(x86.zmm1, x86.zmm2, x86.qword(x86.rax).bcst(16)))
    // @ts-expect-error a scalar is not broadcast
    refused((asm) => asm.vaddss(x86.xmm0, x86.xmm1, x86.dword(x86.rax).bcst(4)))
    // @ts-expect-error MOVUPS loads all it has
    refused((asm) => asm.vmovups(x86.zmm1, x86.dword(x86.rax).bcst(16)))
    // @ts-expect-error memory does not round
    refused((asm) => asm.vaddps(x86.zmm1, x86.zmm2, x86.zmmword(x86.rax), x86.rnSae))
    // @ts-expect-error integers do not round
    refused((asm) => asm.vpaddd(x86.zmm1, x86.zmm2, x86.zmm3, x86.rnSae))
    // @ts-expect-error static rounding is of 512 bits
    refused((asm) => asm.vaddps(x86.ymm1, x86.ymm2, x86.ymm1, x86.rnSae))
    // @ts-expect-error rounding stands in front of the immediate
    refused((asm) => asm.vrndscaleps(x86.zmm1, x86.zmm2, 1, x86.sae))
  })

  test('the new data destinations and conditional compares of APX', () => {
    // @ts-expect-error three operands of two sizes
    refused((asm) => asm.add(x86.rax, x86.ebx, x86.rcx))
    // @ts-expect-error a new data destination is a register
    refused((asm) => asm.add(x86.qword(x86.rax), x86.rbx, x86.rcx))
    // @ts-expect-error MOV has no new data destination
    refused((asm) => asm.mov(x86.rax, x86.rbx, x86.rcx))
    // @ts-expect-error a conditional compare wants to know its default flags
    refused((asm) => asm.ccmpz(x86.rax, x86.rbx))
    // @ts-expect-error a pair of registers is of 64 bits
    refused((asm) => asm.push2(x86.eax, x86.ebx))
    // @ts-expect-error K0 stands for no mask
    refused((asm) => asm.vaddps(x86.zmm1.k(x86.k0), x86.zmm2, x86.zmm3))
    // @ts-expect-error under which nothing is stored either
    refused((asm) => asm.vmovups(x86.zmmword(x86.rax).k(x86.k0), x86.zmm1))
  })

  test('what the types cannot tell is refused when it runs', () => {
    refused((asm) => asm.vaddps(x86.zmm1, x86.zmm2, x86.dword(x86.rax).bcst(8)))
    refused((asm) => asm.mov(x86.cs, x86.ax))
    refused((asm) => asm.mov(x86.r8d, 1), 32)
    refused((asm) => asm.vgatherdps(x86.zmm1, x86.dword(x86.rax, { index: x86.zmm31 })))
    refused((asm) => asm.vgatherdps(x86.zmm1.k(x86.k1), x86.dword(x86.rax, { index: x86.zmm1 })))
    refused((asm) => asm.nf().adc(x86.rax, x86.rbx))
    refused((asm) => asm.pop2(x86.rax, x86.rax))
    refused((asm) => asm.pshufb(x86.xmm0, x86.xmmword(x86.r16)))
    refused((asm) => asm.vpscatterdd(x86.dword(x86.rax, { index: x86.ymm1 }).k(x86.k2), x86.zmm1))
  })
})

describe('what exists compiles', () => {
  test('one of each kind', () => {
    const asm = new x86.Assembler()
    asm
      .mov(x86.eax, x86.ebx)
      .mov(x86.rax, x86.qword(x86.rbx, { index: x86.rcx, scale: 8, disp: 16 }))
      .mov(x86.eax, x86.ptr(x86.rbx))
      .mov(x86.cr0, x86.rax)
    asm
      .mov(x86.ds, x86.ax)
      .in(x86.al, x86.dx)
      .fadd(x86.st0, x86.st1)
      .lgdt(x86.ptr(x86.rbx))
      .paddb(x86.mm0, x86.qword(x86.rax))
      .movzx(x86.eax, x86.byte(x86.rbx))
    asm
      .test(x86.eax, x86.dword(x86.rbx))
      .xchg(x86.rbx, x86.rax)
      .shl(x86.word(x86.rax), 1)
      .imul(x86.eax, x86.ebx, 5)
      .vaddps(x86.xmm17, x86.xmm0, x86.xmm1)
    asm
      .vaddps(x86.zmm1.k(x86.k1).z(), x86.zmm2, x86.dword(x86.rax).bcst(16))
      .vaddps(x86.zmm1, x86.zmm2, x86.zmm3, x86.rnSae)
    asm.vcmpps(x86.k1.k(x86.k2), x86.zmm1, x86.zmm2, x86.sae, 5).vmovups(x86.ymmword(x86.rax).k(x86.k1), x86.ymm20)
    asm
      .vgatherdps(x86.zmm1.k(x86.k1), x86.dword(x86.rax, { index: x86.zmm31, scale: 4 }))
      .tdpbssd(x86.tmm0, x86.tmm1, x86.tmm2)
    asm
      .add(x86.rax, x86.rbx, x86.r16)
      .nf()
      .sub(x86.r16, x86.qword(x86.r17))
      .ccmpz(x86.dfv('cf', 'zf'), x86.rax, x86.rbx)
      .push2(x86.rax, x86.r17)
      .setzub(x86.al)
    expect(asm.assemble().bytes.length).toBe(109)
  })

  test('the types say what they mean', () => {
    expectTypeOf(x86.al).toEqualTypeOf<Register<'gp8'>>()
    expectTypeOf<Gp8>().toExtend<OperandTypes.Rm8>()
    expectTypeOf(x86.byte(x86.rax)).toEqualTypeOf<Memory<1>>()
    expectTypeOf(x86.zmm1.k(x86.k1)).toExtend<Masked>()
    expectTypeOf(x86.dword(x86.rax).bcst(16)).toEqualTypeOf<Broadcast<4>>()
    expectTypeOf(x86.xmm17).not.toExtend<XmmRegister>()
    expectTypeOf<Parameters<x86.Assembler['addps']>>().toEqualTypeOf<[XmmRegister, XmmRegister | Memory<0 | 16>]>()
    expectTypeOf<Parameters<x86.Assembler['bswap']>[0]['class']>().toEqualTypeOf<'gp16' | 'gp32' | 'gp64'>()
    expectTypeOf<ReturnType<x86.Assembler['hlt']>>().toEqualTypeOf<x86.Assembler>()
  })
})
