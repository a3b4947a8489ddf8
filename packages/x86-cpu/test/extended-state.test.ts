/** XSAVE, XRSTOR and their relatives in generated code: compared with their handlers, and in compiled code. */
import { ecx, edi, eax, edx, qword, rax, rbx, rdi, rsi, xmm1, xmm9, xmmword, ymm2, ymm3 } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { seedsUntil, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { SLOW_PROBE, SLOW_WRITE } from '../src/state/host.ts'
import type { CpuCore } from '../src/cpu-core.ts'
import * as S from '../src/state/state-layout.ts'
import { handlers } from '../src/system/handlers.ts'
import { BareCpu, CODE, PAGE_TABLE, RAM_BYTES, initialState } from './support/bare-cpu.ts'
import { formNamed, systemOf, unlessFault } from './support/handlers.ts'
import { runBothWays } from './support/both-ways.ts'

const SEED = slicedSeed(20_261_125)
const RUNS = slicedCount(1000, 5)
/** Area: within its page, or across its end. */
const AREA = 0x2_0000
/** Where its second page lies in 64-bit mode: not behind the first. */
const SECOND_PAGE = 0x2_8000
const HEADER = 512

/** ModRM reg field and opcode of each; [RBX] is the area. */
const instructions: Record<string, readonly number[]> = {
  FXSAVE: [0x0f, 0xae, 0x03],
  FXRSTOR: [0x0f, 0xae, 0x0b],
  XSAVE: [0x0f, 0xae, 0x23],
  XSAVEOPT: [0x0f, 0xae, 0x33],
  XSAVEC: [0x0f, 0xc7, 0x23],
  XSAVES: [0x0f, 0xc7, 0x2b],
  XRSTOR: [0x0f, 0xae, 0x2b],
  XRSTORS: [0x0f, 0xc7, 0x1b],
}
// And with REX.W.
for (const [name, code] of Object.entries(instructions)) instructions[`${name}64`] = [0x48, ...code]

/** A state that instructions begin with. */
interface Given {
  readonly cpl: number
  readonly disabled: 'no' | 'OSXSAVE' | 'TS'
  readonly xcr0: number
  readonly rax: number
  /** Which components are in their initial configuration. */
  readonly initial: number
  readonly bytes: Uint8Array
  /** Whether there are x87 error pointers, which AMD's processors have rules of their own for. */
  readonly hasPointers: boolean
  readonly fsw: number
  readonly top: number
  readonly empty: number
  readonly mxcsr: number
  readonly pkru: number
  readonly pkruInArea: 'same' | 'other'
  readonly offset: number
  readonly pages: 'both' | 'second read-only' | 'second absent'
  readonly area: Uint8Array
  readonly header: 'standard' | 'compacted' | 'wrong'
  readonly bits: number
  readonly isWarm: boolean
}

const often = <T>(usual: T, others: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: fc.constant(usual), weight: 6 }, { arbitrary: others, weight: 1 })
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })

const given: fc.Arbitrary<Given> = fc.record({
  cpl: often(0, fc.constant(3)),
  disabled: often<Given['disabled']>('no', fc.constantFrom('OSXSAVE', 'TS')),
  xcr0: fc.constantFrom(1, 3, 7, 0x203, 0x207),
  rax: fc.oneof(fc.constant(-1), fc.nat(0x3ff), fc.nat(7)),
  initial: fc.constantFrom(0, 1, 2, 4, 6, 0x200, 0x207),
  bytes: bytes(128),
  hasPointers: fc.boolean(),
  // With or without a pending exception.
  fsw: fc.nat(0xffff),
  top: fc.nat(7),
  empty: fc.nat(255),
  mxcsr: fc.oneof(fc.constant(0x1f80), fc.nat(0xffff)),
  pkru: fc.oneof(fc.constant(0), fc.nat(0xffff_fffc)),
  pkruInArea: fc.constantFrom('same', 'other'),
  // Aligned mostly; the end of a page is anywhere in the area.
  offset: fc.oneof(
    fc.constant(0x100),
    fc.nat(15).map((n) => 0x1000 - 64 * n),
    often(0x40, fc.nat(0xfff)),
  ),
  pages: fc.constantFrom('both', 'both', 'second read-only', 'second absent'),
  area: bytes(64),
  header: fc.oneof(
    { arbitrary: fc.constantFrom<Given['header']>('standard', 'compacted'), weight: 6 },
    { arbitrary: fc.constant<Given['header']>('wrong'), weight: 1 },
  ),
  bits: fc.oneof(fc.constant(-1), fc.nat(0x3ff)),
  isWarm: often(true, fc.constant(false)),
})

const coreOf = ({ cpu }: BareCpu): CpuCore => (cpu as unknown as { readonly core: CpuCore }).core

/** Makes a state area's bytes out of few. */
function fill(into: Uint8Array, from: Uint8Array): void {
  for (let i = 0; i < into.length; i++) into[i] = from[i % from.length]! ^ (i >>> 4)
}

function fillState({ cpu: { u8, u32 } }: BareCpu, state: Given): void {
  u8.fill(0, S.S_MXCSR, S.S_FDS + 4)
  u8.fill(0, S.S_FPR, S.S_SCRATCH)
  u32[S.S_FCW >>> 2] = 0x37f
  u32[S.S_FTAG_EMPTY >>> 2] = 0xff
  if ((state.initial & 1) === 0) {
    fill(u8.subarray(S.S_FCW, S.S_FDS + 4), state.bytes)
    // What the state's words can hold.
    u32[S.S_FCW >>> 2] = (u32[S.S_FCW >>> 2]! & 0x1f7f) | 0x40
    u32[S.S_FSW >>> 2] = state.fsw & 0xc7ff
    u32[S.S_FTOP >>> 2] = state.top
    u32[S.S_FTAG_EMPTY >>> 2] = state.empty
    for (const at of [S.S_FCS, S.S_FDS]) u32[at >>> 2]! &= 0xffff
    if (!state.hasPointers) u8.fill(0, S.S_FOP, S.S_FDS + 4)
    for (let i = 0; i < 8; i++) fill(u8.subarray(S.S_FPR + 16 * i, S.S_FPR + 16 * i + 10), state.bytes.subarray(i))
  }
  for (let i = 0; i < 16; i++) {
    const at = S.S_XMM + 64 * i
    if ((state.initial & 2) === 0) fill(u8.subarray(at, at + 16), state.bytes.subarray(i))
    if ((state.initial & 4) === 0) fill(u8.subarray(at + 16, at + 32), state.bytes.subarray(2 * i))
  }
  // One that only 64-bit mode has is in use alone.
  if (state.initial === 6) u8[S.S_XMM + 64 * 12 + (state.top & 4 ? 16 : 0)] = 1
  u32[S.S_MXCSR >>> 2] = state.mxcsr
  u32[S.S_PKRU >>> 2] = (state.initial & 0x200) === 0 ? state.pkru : 0
}

function fillArea(pc: BareCpu, secondPage: number, state: Given): void {
  const area = new Uint8Array(1024)
  fill(area, state.area)
  const view = new DataView(area.buffer)
  view.setUint32(24, state.mxcsr, true)
  if (!state.hasPointers) area.fill(0, 6, 24)
  if (state.header !== 'wrong') {
    area.fill(0, HEADER, HEADER + 64)
    const layout = state.header === 'compacted' ? state.xcr0 & (state.rax | 3) : state.xcr0
    view.setUint32(HEADER, layout & state.bits, true)
    if (state.header === 'compacted') {
      view.setUint32(HEADER + 8, layout, true)
      view.setUint32(HEADER + 12, 0x8000_0000, true)
    }
  }
  if (state.pkruInArea === 'same') {
    for (const at of [576, 832]) view.setUint32(at, pc.cpu.u32[S.S_PKRU >>> 2]!, true)
  }
  const pages = new Uint8Array(0x2000)
  pages.set(area, state.offset)
  pc.load(AREA, pages.subarray(0, 0x1000))
  pc.load(secondPage, pages.subarray(0x1000))
}

function prepare(pc: BareCpu, mode: 'long' | 'protected', mnemonic: string, state: Given): void {
  const { cpu } = pc
  const { u32 } = cpu
  cpu.reset(true)
  cpu.load(initialState(mode))
  // A turn ends with a jump to another page.
  pc.load(CODE, [...instructions[mnemonic]!, 0xe9, 0, 0x10, 0, 0])
  u32[S.S_CR4 >>> 2]! |= state.disabled === 'OSXSAVE' ? 0 : 1 << 18
  u32[S.S_CR0 >>> 2]! |= state.disabled === 'TS' ? 8 : 0
  for (const segment of [S.CS, S.SS])
    u32[(S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_ATTRIBUTES) >>> 2]! |= state.cpl << 5
  u32[S.S_XCR0 >>> 2] = state.xcr0
  pc.setRegister('rax', state.rax >>> 0)
  pc.setRegister('rbx', AREA + state.offset)
  fillState(pc, state)
  fillArea(pc, mode === 'long' ? SECOND_PAGE : AREA + 0x1000, state)
  if (mode === 'long') {
    const rights = { both: 7, 'second read-only': 5, 'second absent': 0 }[state.pages]
    pc.write64(PAGE_TABLE + 8 * ((AREA >>> 12) + 1), BigInt(SECOND_PAGE | rights))
    u32[S.S_CR0 >>> 2]! |= 1 << 16
  }
  pc.host.controlChanged()
  cpu.flushTlb(true)
  cpu.modeChanged()
  if (!state.isWarm) return
  const flags = /^F?XS/.test(mnemonic) ? 1 | SLOW_WRITE | SLOW_PROBE : 1 | SLOW_PROBE
  for (const page of [AREA, AREA + 0x1000]) coreOf(pc).access(page, 0, flags)
  cpu.i32[FAULT_VECTOR] = -1
}

const FAULT_VECTOR = 0x370 >>> 2

/** What the instructions may change, and what they leave alone. */
function outcome(pc: BareCpu): object {
  const { u8, u32, u64 } = pc.cpu
  return {
    registers: [...u64.slice(S.S_GPR >>> 3, (S.S_GPR >>> 3) + 16)],
    control: [...u32.slice(S.S_MXCSR >>> 2, (S.S_FDS + 4) >>> 2)],
    pkru: u32[S.S_PKRU >>> 2],
    x87: Buffer.from(u8.subarray(S.S_FPR, S.S_XMM)).toString('hex'),
    vectors: Buffer.from(u8.subarray(S.S_XMM, S.S_SCRATCH)).toString('hex'),
    // Both of the pages that may be the second one.
    area: Buffer.from(pc.memory.u8.subarray(pc.host.ramMa + AREA, pc.host.ramMa + SECOND_PAGE + 0x1000)).toString(
      'hex',
    ),
  }
}

/** The instruction by its handler. @returns undefined if it faults */
function byHandler(pc: BareCpu, mnemonic: string): object | undefined {
  const system = systemOf(pc)
  system.set64(S.S_EA, pc.cpu.u32[(S.S_GPR >>> 2) + 6]!, 0)
  return unlessFault(() => {
    expect(handlers[mnemonic]!(system, 0, formNamed(mnemonic))).toBe(S.STATUS_DONE)
    return outcome(pc)
  })
}

const machines = [
  { mode: 'long', cpu: 'max' },
  { mode: 'protected', cpu: 'max' },
  { mode: 'long', cpu: 'max,vendor=amd' },
  // It does not restore error pointers without a pending exception, and has no XSAVE.
  { mode: 'long', cpu: 'opteron' },
] as const

const isThere = (mnemonic: string, mode: string, cpu: string): boolean =>
  (mode === 'long' || !mnemonic.endsWith('64')) && (cpu !== 'opteron' || mnemonic.startsWith('F'))

describe.each(machines)(`in $mode mode, $cpu (seed ${SEED})`, ({ mode, cpu }) => {
  test.each(Object.keys(instructions).filter((name) => isThere(name, mode, cpu)))(
    '%s does the same in generated code and by its handler',
    (mnemonic) => {
      const [generated, reference] = [new BareCpu({ jit: false, mode, cpu }), new BareCpu({ jit: false, mode, cpu })]
      let quick = 0
      const states = fc.property(given, (state) => {
        prepare(reference, mode, mnemonic, state)
        prepare(generated, mode, mnemonic, state)
        const before = outcome(generated)
        const expected = byHandler(reference, mnemonic)
        const { systemCalls, faults } = generated.cpu.counts
        generated.run(1)
        if (expected === undefined) {
          expect(generated.cpu.counts.faults).toBeGreaterThan(faults)
          // The stack pointer aside, which the delivery moves.
          const { registers: _, ...rest } = outcome(generated) as { registers: unknown }
          expect(before).toMatchObject(rest)
          return
        }
        expect(generated.cpu.counts.faults).toBe(faults)
        if (generated.cpu.counts.systemCalls === systemCalls) quick++
        expect(outcome(generated)).toEqual(expected)
      })
      for (const seed of seedsUntil(SEED, () => quick > RUNS / 20)) fc.assert(states, { seed, numRuns: RUNS })
      // The usual states need no handler.
      expect(quick).toBeGreaterThan(RUNS / 20)
    },
  )
})

describe('in compiled code', () => {
  /** Offsets of areas: in a page, and across the end of one. */
  test.each([0x100, 0xd00])('vector registers and x87 state go and come back, at %i', (offset) => {
    const ROUNDS = 60
    const [plain] = runBothWays({
      code: (asm) => {
        const again = asm.label()
        asm.fninit().mov(ecx, 0).mov(eax, 7).mov(edx, 0).xsetbv()
        asm.mov(rbx, AREA + offset).mov(edi, ROUNDS)
        asm.bind(again)
        // Registers that the unit has in locals are saved, changed, and restored.
        asm.movq(xmm1, rdi).movq(xmm9, rdi).vpaddd(ymm2, ymm3, ymm2).fld1()
        asm.mov(eax, 7).mov(edx, 0).xsavec64(qword(rbx))
        asm.pxor(xmm1, xmm1).vpxor(ymm2, ymm2, ymm2).pxor(xmm9, xmm9)
        asm
          .xrstors64(qword(rbx))
          .movq(rsi, xmm1)
          .movdqu(xmmword(rbx, { disp: 0x800 }), xmm9)
        asm.fstp(qword(rbx, { disp: 0x820 })).vpaddd(ymm3, ymm2, ymm2)
        asm.xsave64(qword(rbx, { disp: 0x1000 })).xrstor64(qword(rbx, { disp: 0x1000 }))
        asm
          .add(qword(rbx, { disp: 0x840 }), rsi)
          .dec(edi)
          .jne(again)
        asm.vmovdqu(xmmword(rbx, { disp: 0x860 }), xmm1).hlt()
      },
      prepare: (pc) => {
        pc.cpu.u32[S.S_CR4 >>> 2]! |= 1 << 18
        pc.cpu.modeChanged()
        const vectors = pc.cpu.u8.subarray(S.S_XMM, S.S_XMM + 1024)
        fill(vectors, Uint8Array.of(3, 1, 4, 1, 5, 9, 2, 6))
        for (let i = 0; i < 16; i++) vectors.fill(0, 64 * i + 32, 64 * i + 64)
      },
    })
    const sum = (ROUNDS * (ROUNDS + 1)) / 2
    expect(plain.read64(AREA + offset + 0x840)).toBe(BigInt(sum))
    expect(plain.read64(AREA + offset + 0x820)).toBe(0x3ff0_0000_0000_0000n)
    expect(AREA + offset + 0x2000).toBeLessThan(RAM_BYTES)
    // XSETBV, HLT, and what first meets each page.
    expect(plain.cpu.counts.systemCalls).toBeLessThan(10)
  })
})

describe('what a handler does beside its instruction', () => {
  test('XRSTOR ends the monitoring of a line', () => {
    const pc = new BareCpu({ jit: false })
    pc.enableState(7)
    pc.setRegister('rbx', AREA)
    coreOf(pc).access(AREA, 0, 1 | SLOW_PROBE)
    pc.program((asm) =>
      asm
        .lea(rax, qword(rbx, { disp: 0x1000 }))
        .monitor()
        .mov(eax, 0)
        .xrstor64(qword(rbx))
        .hlt(),
    )
    for (let i = 0; i < 2; i++) pc.step()
    expect(pc.cpu.u32[S.S_MONITOR_LINE >>> 2]).not.toBe(0)
    expect(pc.run().reason).toBe('hlt')
    expect(pc.cpu.u32[S.S_MONITOR_LINE >>> 2]).toBe(0)
  })
})

describe('processors with rules of their own', () => {
  const boot = (cpu: string, mnemonic: string): BareCpu => {
    const pc = new BareCpu({ jit: false, cpu })
    pc.load(CODE, [...instructions[mnemonic]!, 0xf4])
    pc.enableState(7)
    pc.setRegister('rax', 7)
    pc.setRegister('rbx', AREA)
    // Both pages are in the TLB.
    coreOf(pc).access(AREA, 0, 1 | SLOW_WRITE | SLOW_PROBE)
    coreOf(pc).access(AREA, 0, 1 | SLOW_PROBE)
    return pc
  }

  test.each([
    { cpu: 'max', faults: 0 },
    { cpu: 'max,-xsavec,-xsaves', faults: 1 },
  ])('$cpu: XRSTOR of the compacted form', ({ cpu, faults }) => {
    const pc = boot(cpu, 'XRSTOR')
    pc.write32(AREA + HEADER + 8, 7)
    pc.write32(AREA + HEADER + 12, 0x8000_0000)
    pc.vector(13, CODE + 3)
    expect(pc.run().reason).toBe('hlt')
    expect(pc.cpu.counts.faults).toBe(faults)
  })

  test.each([
    { cpu: 'max', saved: 0x1234 },
    { cpu: 'max,vendor=amd', saved: 0 },
  ])('$cpu: XSAVE of an instruction pointer without an exception', ({ cpu, saved }) => {
    const pc = boot(cpu, 'XSAVE64')
    pc.cpu.u32[S.S_FIP >>> 2] = 0x1234
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read64(AREA + 8)).toBe(BigInt(saved))
  })
})
