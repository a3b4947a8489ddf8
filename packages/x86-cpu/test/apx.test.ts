import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { loadInstructions } from '@retrap/x86-cpu'
import { beforeAll, describe, expect, test } from 'vitest'
import { S_CR4 } from '../src/state/state-layout.ts'
import { soak } from './soak/apx.soak.ts'
import { APX_CPU, APX_STATE } from './support/apx-programs.ts'
import { STACK, type BareCpu } from './support/bare-cpu.ts'
import { handler, runBothWays } from './support/both-ways.ts'

const OUT = 0x7_0000
const COUNT = 0x7_8000
const [UD, GP] = [6, 13]
const TIMES = 3

beforeAll(() => loadInstructions(APX_CPU))

test('random programs of APX end as programs of older instructions do', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(5, 5), seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)

/** Counts exceptions of a vector; each goes on where RDI says. */
function counts(pc: BareCpu, vector: number): void {
  handler(pc, vector, (asm) => {
    if (vector === GP) asm.pop(x86.r15)
    asm.mov(x86.qword(x86.rsp), x86.rdi).inc(x86.dword(COUNT)).iretq()
  })
}

/** Runs code a few times in both ways. */
function repeat(code: (asm: Assembler) => void, prepare: (pc: BareCpu) => void = () => undefined): readonly BareCpu[] {
  return runBothWays({
    cpu: APX_CPU,
    code: (asm) => {
      asm.mov(x86.rbx, TIMES)
      const next = asm.here('next')
      code(asm)
      asm.dec(x86.rbx).jnz(next).hlt()
    },
    prepare: (pc) => {
      pc.enableState(APX_STATE)
      for (const vector of [UD, GP]) counts(pc, vector)
      prepare(pc)
    },
  })
}

/** Code that raises an exception, which goes on behind it. */
function refused(asm: Assembler, code: () => void): void {
  const after = asm.label()
  asm.lea(x86.rdi, x86.qword(x86.rip(after)))
  code()
  asm.bind(after)
}

test('XSETBV gives and takes the registers, which keep their values, and the same bytes are #UD without them', () => {
  const pair = runBothWays({
    cpu: APX_CPU,
    code: (asm) => {
      const [probe, after] = [asm.label('probe'), asm.label('after')]
      asm
        .mov(x86.rbx, TIMES)
        .xor(x86.ecx, x86.ecx)
        .xor(x86.edx, x86.edx)
        .lea(x86.rdi, x86.qword(x86.rip(after)))
      const next = asm.here('next')
      for (const xcr0 of [7, APX_STATE]) asm.mov(x86.eax, xcr0).xsetbv().call(probe)
      asm.dec(x86.rbx).jnz(next).mov(x86.rbp, x86.r16).hlt()
      asm.bind(probe).add(x86.r16, 2).bind(after).ret()
    },
    prepare: (pc) => {
      pc.cpu.u32[S_CR4 >>> 2]! |= 1 << 18
      pc.cpu.modeChanged()
      counts(pc, UD)
    },
  })
  for (const pc of pair) expect([pc.register('rbp'), pc.read32(COUNT)]).toEqual([6n, TIMES])
})

test('PUSH2 and POP2 are two of PUSH and POP, and #GP(0) where they are not aligned', () => {
  for (const pc of repeat((asm) => {
    asm.mov(x86.r16, 5).mov(x86.r17, 6).push2(x86.r16, x86.r17)
    asm.mov(x86.rax, x86.qword(x86.rsp)).pop2(x86.r18, x86.r19).mov(x86.qword(OUT), x86.r18).push(x86.rax)
    refused(asm, () => asm.push2(x86.r16, x86.r17))
    refused(asm, () => asm.pop2(x86.r16, x86.r17))
    asm
      .pop(x86.rcx)
      .mov(x86.qword(OUT + 8), x86.r16)
      .push2p(x86.r16, x86.r17)
      .pop2p(x86.r17, x86.r16)
      .mov(x86.rcx, x86.r16)
    asm.pushp(x86.r17).popp(x86.r31).mov(x86.rdx, x86.r31)
  })) {
    expect([pc.register('rax'), pc.read64(OUT), pc.read64(OUT + 8)]).toEqual([6n, 6n, 5n])
    expect(['rcx', 'rdx', 'rsp'].map((name) => pc.register(name as 'rcx'))).toEqual([5n, 6n, BigInt(STACK)])
    expect(pc.read32(COUNT)).toBe(2 * TIMES)
  }
})

test('JMPABS goes to the 64 bits in it, which are canonical or #GP(0)', () => {
  for (const pc of repeat((asm) => {
    const target = asm.label()
    asm.jmpabs(target).inc(x86.r14).bind(target)
    refused(asm, () => asm.jmpabs(1n << 63n))
  }))
    expect([pc.register('r14'), pc.read32(COUNT)]).toEqual([0n, TIMES])
})

test('MOVDIR64B and INVPCID take registers above R15', () => {
  for (const pc of repeat((asm) =>
    asm
      .mov(x86.r16, OUT + 0x40)
      .mov(x86.r17, OUT)
      .mov(x86.qword(x86.r17, { disp: 8 }), x86.rbx)
      .movdir64b(x86.r16, x86.zmmword(x86.r17))
      .mov(x86.r18, 1)
      .invpcid(x86.r18, x86.xmmword(OUT + 0x100)),
  ))
    expect([pc.read64(OUT + 0x48), pc.host.invalidated.filter((scope) => scope.startsWith('1:')).length]).toEqual([
      1n,
      TIMES,
    ])
})

describe('#UD', () => {
  test.each([
    ['REX2 before XSAVE', [0xd5, 0x80, 0xae, 0x27]],
    ['REX2 before XRSTOR', [0xd5, 0x80, 0xae, 0x2f]],
    ['REX2 before the map of 0F 38', [0xd5, 0x00, 0x0f, 0x38, 0xf0, 0x07]],
    ['REX2 before the map of 0F 3A', [0xd5, 0x00, 0x0f, 0x3a, 0x0f, 0xc0, 0x01]],
    ['REX2 before an opcode of rows 4 and 7', [0xd5, 0x00, 0x70, 0x00]],
    ['REX before REX2', [0x48, 0xd5, 0x00, 0x01, 0xc0]],
    ['LOCK before JMPABS', [0xf0, 0xd5, 0x00, 0xa1, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['LOCK before map 4', [0xf0, 0x62, 0xf4, 0x7c, 0x08, 0x01, 0x07]],
    ['NF of ADC', [0x62, 0xf4, 0x7c, 0x0c, 0x11, 0xc8]],
    ['a destination of MUL', [0x62, 0xf4, 0x7c, 0x18, 0xf7, 0xe1]],
    ['EVEX.vvvv of what has no third operand', [0x62, 0xf4, 0x74, 0x08, 0x01, 0xc8]],
    ['PUSH2 with RSP', [0x62, 0xf4, 0x5c, 0x18, 0xff, 0xf0]],
    ['POP2 of one register twice', [0x62, 0xf4, 0x7c, 0x18, 0x8f, 0xc0]],
  ])('%s', (_, bytes) => {
    for (const pc of repeat((asm) => refused(asm, () => asm.db(...bytes)))) expect(pc.read32(COUNT)).toBe(TIMES)
  })
})
