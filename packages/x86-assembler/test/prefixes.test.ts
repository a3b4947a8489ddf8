// Prefixes and encodings that are asked for in words, compared with what GNU as makes of the same words.
import { skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import * as x86 from '../src/index.ts'
import { assembleWithGas, hasGas, sameBytes } from './support/gas.ts'

interface Case {
  readonly gas: string
  readonly build: (asm: x86.Assembler) => unknown
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (value) => value.toString(16).padStart(2, '0')).join(' ')
}

const CASES: readonly Case[] = [
  { gas: '{vex3} vaddps xmm1, xmm2, xmm3', build: (asm) => asm.encoding('vex3').vaddps(x86.xmm1, x86.xmm2, x86.xmm3) },
  { gas: '{vex} vaddps ymm1, ymm2, ymm3', build: (asm) => asm.encoding('vex').vaddps(x86.ymm1, x86.ymm2, x86.ymm3) },
  { gas: '{vex} vaddps xmm1, xmm2, xmm9', build: (asm) => asm.encoding('vex').vaddps(x86.xmm1, x86.xmm2, x86.xmm9) },
  { gas: '{rex} add eax, ebx', build: (asm) => asm.encoding('rex').add(x86.eax, x86.ebx) },
  { gas: '{rex} addps xmm1, [rax]', build: (asm) => asm.encoding('rex').addps(x86.xmm1, x86.ptr(x86.rax)) },
  { gas: 'addps xmm1, xmm2', build: (asm) => asm.encoding('legacy').addps(x86.xmm1, x86.xmm2) },
  { gas: 'bnd jmp rax', build: (asm) => asm.bnd().jmp(x86.rax) },
  { gas: 'bnd call rax', build: (asm) => asm.bnd().call(x86.rax) },
  { gas: 'bnd ret', build: (asm) => asm.bnd().ret() },
  { gas: 'notrack jmp rax', build: (asm) => asm.notrack().jmp(x86.rax) },
  { gas: 'notrack call [rbx]', build: (asm) => asm.notrack().call(x86.qword(x86.rbx)) },
  { gas: 'notrack bnd jmp rax', build: (asm) => asm.notrack().bnd().jmp(x86.rax) },
  { gas: 'xacquire lock add dword ptr [rbx], 5', build: (asm) => asm.xacquire().lock().add(x86.dword(x86.rbx), 5) },
  { gas: 'xrelease lock inc dword ptr [rbx]', build: (asm) => asm.xrelease().lock().inc(x86.dword(x86.rbx)) },
  { gas: 'xacquire xchg [rbx], eax', build: (asm) => asm.xacquire().xchg(x86.dword(x86.rbx), x86.eax) },
  { gas: 'xrelease mov dword ptr [rbx], 1', build: (asm) => asm.xrelease().mov(x86.dword(x86.rbx), 1) },
  { gas: 'xrelease mov [rbx], al', build: (asm) => asm.xrelease().mov(x86.byte(x86.rbx), x86.al) },
  { gas: 'repz ret', build: (asm) => asm.prefix(0xf3).ret() },
  { gas: 'ds nop', build: (asm) => asm.prefix(0x3e).nop() },
  { gas: 'repne scasb', build: (asm) => asm.repne().scasb() },
  // A prefix only where the segment is not the one that the base implies.
  { gas: 'mov eax, ds:[rbx]', build: (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { segment: x86.ds })) },
  { gas: 'mov eax, ss:[rbx]', build: (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { segment: x86.ss })) },
  { gas: 'mov eax, ss:[rsp]', build: (asm) => asm.mov(x86.eax, x86.dword(x86.rsp, { segment: x86.ss })) },
  { gas: 'mov eax, ds:[rsp]', build: (asm) => asm.mov(x86.eax, x86.dword(x86.rsp, { segment: x86.ds })) },
  {
    gas: 'mov eax, ds:[rbx+rbp]',
    build: (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { index: x86.rbp, segment: x86.ds })),
  },
  {
    gas: 'mov eax, fs:[rbx+rcx*4+8]',
    build: (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { index: x86.rcx, scale: 4, disp: 8, segment: x86.fs })),
  },
]

describe('asked for in words', () => {
  test.skipIf(!hasGas())(`as GNU as has them${skipNote(hasGas(), 'binutils are not installed')}`, () => {
    const answers = assembleWithGas(
      CASES.map(({ gas }) => gas),
      64,
    )
    const wrong: string[] = []
    for (const [index, { gas, build }] of CASES.entries()) {
      const asm = new x86.Assembler()
      build(asm)
      const { bytes } = asm.assemble()
      const answer = answers[index]
      if (answer instanceof Uint8Array && sameBytes(answer, bytes)) continue
      wrong.push(`${gas}: ${hexOf(bytes)}, gas ${answer instanceof Uint8Array ? hexOf(answer) : answer}`)
    }
    expect(wrong).toEqual([])
  })

  test('EVEX has the shortest form too, and only where nothing else does', () => {
    const asm = new x86.Assembler()
    asm
      .nf()
      .add(x86.rax, 5)
      .nf()
      .add(x86.rax, 0x1234)
      .add(x86.rax, 5)
      .add(x86.rbx, x86.rax, 5)
      .vmovups(x86.ymm1, x86.ymmword(x86.rax, { disp: 64 }))
    expect(asm.assemble().listing()).toBe(`; section text at 0x0
00  62 f4 fc 0c 83 c0 05               {nf} add rax, 5
07  62 f4 fc 0c 81 c0 34 12 00 00      {nf} add rax, 0x1234
11  48 83 c0 05                        add rax, 5
15  62 f4 e4 18 83 c0 05               add rbx, rax, 5
1c  c5 fc 10 48 40                     vmovups ymm1, ymmword [rax + 0x40]
`)
  })

  test('a conditional branch has a hint in front, in both lengths', () => {
    const asm = new x86.Assembler()
    const target = asm.label()
    asm.likely().jz(target).likely(false).jz(target).fill(200).bind(target)
    expect(hexOf(asm.assemble().bytes.subarray(0, 14))).toBe('3e 0f 84 cf 00 00 00 2e 0f 84 c8 00 00 00')
  })

  test('they hold for one instruction, and a listing shows them', () => {
    const asm = new x86.Assembler()
    asm
      .encoding('vex3')
      .vaddps(x86.xmm1, x86.xmm2, x86.xmm3)
      .vaddps(x86.xmm1, x86.xmm2, x86.xmm3)
      .xacquire()
      .lock()
      .inc(x86.dword(x86.rsp))
    asm.prefix(0x2e).likely(false).jz(0)
    expect(asm.assemble().listing()).toBe(`; section text at 0x0
00  c4 e1 68 58 cb                     {vex3} vaddps xmm1, xmm2, xmm3
05  c5 e8 58 cb                        vaddps xmm1, xmm2, xmm3
09  f2 f0 ff 04 24                     xacquire lock inc dword [rsp]
0e  2e 2e 74 ee                        {0x2e} not taken je 0
`)
  })

  test.each<readonly [what: string, code: string, message: string, build: (asm: x86.Assembler) => unknown]>([
    [
      'BND on a direct far branch',
      'ERR_PREFIX',
      'bnd is for near branches; leave it out before HLT with these operands',
      (asm) => asm.bnd().hlt(),
    ],
    [
      'NOTRACK on a direct branch',
      'ERR_PREFIX',
      'notrack is for indirect near branches',
      (asm) => asm.notrack().jmp(0),
    ],
    [
      'XACQUIRE without a lock',
      'ERR_PREFIX',
      'xacquire is for locked instructions',
      (asm) => asm.xacquire().add(x86.dword(x86.rbx), 1),
    ],
    ['a hint on LOOP', 'ERR_PREFIX', 'taken is for conditional branches', (asm) => asm.likely().loop(0)],
    ['a byte that is no prefix', 'ERR_PREFIX', '0x90 is no legacy', (asm) => asm.prefix(0x90)],
    [
      'REX beside AH',
      'ERR_OPERAND',
      'cannot stand beside a REX prefix',
      (asm) => asm.encoding('rex').mov(x86.ah, x86.al),
    ],
    ['REX outside 64-bit mode', 'ERR_NO_FORM', '', (asm) => asm.bits(32).encoding('rex').inc(x86.eax)],
    [
      'VEX where there is none',
      'ERR_NO_FORM',
      'addps xmm1, xmm2: no such form',
      (asm) => asm.encoding('vex').addps(x86.xmm1, x86.xmm2),
    ],
    [
      'more than 15 bytes',
      'ERR_OPERAND',
      'longer than 15 bytes',
      (asm) => asm.prefix(...Array<number>(15).fill(0x3e)).nop(),
    ],
  ])('refused: %s', (_what, code, message, build) => {
    try {
      build(new x86.Assembler())
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(x86.AssemblerError)
      expect((error as x86.AssemblerError).code).toBe(code)
      expect(String(error)).toContain(message)
    }
  })
})

describe('registers from R16 on (APX specification, "Extended EVEX Prefix")', () => {
  test('have no encoding in an instruction of VEX', () => {
    const asm = new x86.Assembler()
    expect(() => asm.vblendps(x86.xmm1, x86.xmm2, x86.xmmword(x86.r16), 1)).toThrow(x86.AssemblerError)
    expect(() => asm.vblendps(x86.xmm1, x86.xmm2, x86.xmmword(x86.rbx, { index: x86.r16 }), 1)).toThrow(
      x86.AssemblerError,
    )
    expect(asm.assemble().bytes).toHaveLength(0)
  })

  test('make an instruction of VEX that EVEX has too one of EVEX', () => {
    const { bytes } = new x86.Assembler()
      .vaddps(x86.xmm1, x86.xmm2, x86.xmmword(x86.r16))
      .vaddps(x86.xmm1, x86.xmm2, x86.xmmword(x86.rax))
      .assemble()
    // B4 is bit 3 of the first payload byte.
    expect(hexOf(bytes)).toBe('62 f9 6c 08 58 08 c5 e8 58 08')
  })
})
