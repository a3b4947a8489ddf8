// The usual cases of system instructions in generated code do what the handlers do: an instruction that is executed alone
// is left to its handler.
import { FLAT, descriptor } from '@retrap/x86-assembler/guest-code'
import fc from 'fast-check'
import { TEST_LONG } from '@retrap/tooling/long'
import { seedsUntil, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test, vi } from 'vitest'
import { saveVcpu } from '../src/inspect.ts'
import * as S from '../src/state/state-layout.ts'
import { SLOW_IMPLICIT, SLOW_PROBE, SLOW_STACK, SLOW_WRITE } from '../src/state/host.ts'
import type { MemoryAccess } from '../src/access/memory-access.ts'
import { CR0_AM } from '../src/state/architecture.ts'
import { setSegment } from '../src/system/segments/segment-cache.ts'
import { S_NMI_BLOCKED } from '../src/state/system-state.ts'
import { BareCpu, CODE, GDT, IDT, PAGE_TABLE, TSS, initialState } from './support/bare-cpu.ts'
import { systemOf } from './support/handlers.ts'

const SEED = slicedSeed(20_261_121)
const RUNS = slicedCount(600, 10)
/** Fewer cases than these were quick where all need a handler, and more where few do. */
const [AT_MOST, AT_LEAST] = TEST_LONG ? [30, 30] : [RUNS / 8, 0]
/** Where far transfers lead, where handlers of exceptions are, and the stacks. */
const TARGET = 0x3000
const HANDLERS = 0x5000
const STACK = 0x7_0000
const OTHER_STACK = 0x6_8000
const HLT = 0xf4
/** MOV EAX, [RCX]; MOV EAX, [RCX + 1]: level 3 may check the alignment of the second, whose page is in the TLB. */
const MISALIGNED = [0x8b, 0x01, 0x8b, 0x41, 1]
/** The entry of the 2 MiB that hold the tables, and the first page of the stacks. */
const LARGE_PAGE = 0x30_2008
const STACK_PAGES = (STACK - 0x1_0000) >>> 12
/** Memory that is written: stacks of 32 and of 16 bits. */
const STACKS = [
  [0, 0x1000],
  [STACK - 0x1_0000, 0x1_2000],
] as const
const REAL_HANDLER = 0x8e00

const accessOf = ({ cpu }: BareCpu): MemoryAccess =>
  (cpu as unknown as { readonly core: { readonly memoryAccess: MemoryAccess } }).core.memoryAccess

/** Selectors of the table that {@link writeTables} makes; index 5 is the one that each test puts something else into. */
const OTHER = 5 << 3
const SELECTORS = [0x08, 0x10, 0x1b, 0x23, 0, 1, 3, OTHER, OTHER | 3, 0x0b, 0x13, 0x18, 0x20, 0x0f, 0x30, 0x38, 0x3b]

/** A state that instructions begin with. */
interface Given {
  readonly cpl: 0 | 3
  readonly smap: boolean
  readonly eflags: number
  readonly interrupt: boolean
  readonly shadow: number
  readonly other: bigint
  readonly selector: number
  readonly frame: readonly [selector: number, image: number, pointer: number, stack: number, target: bigint]
  readonly stack: number
  /** Attributes of SS, but for its DPL. */
  readonly stackAttributes: number
  readonly sysenter: number
  readonly rdx: number
  /** Attributes of data segments: what is returned to may not see them. */
  readonly data: number
  readonly protection: boolean
  /** CR0.AM. */
  readonly alignment: boolean
  readonly breakpoint: boolean
}

const often = <T>(usual: T, others: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: fc.constant(usual), weight: 8 }, { arbitrary: others, weight: 1 })
const bits = (mask: number): fc.Arbitrary<number> => fc.nat(0xffff_ffff).map((word) => (word & mask) >>> 0)

/** A descriptor that is odd in one respect, or in many. */
const otherDescriptor = fc.oneof(
  fc.constantFrom(FLAT.data, descriptor(0, 0xf_ffff, 0xf3, 0xc), descriptor(0x10, 0xffff, 0xf3, 4), 0n),
  fc
    .tuple(fc.constantFrom(0, 0x1234_5678), fc.constantFrom(0xf_ffff, 0x8_0000), fc.nat(255), fc.nat(15))
    .map(([base, limit, access, flags]) => descriptor(base, limit, access, flags)),
  fc.nat(15).map((type) => descriptor(0, 0xf_ffff, 0xf0 | type, 0xc)),
  // User's code and data that are not all of 4 GiB from 0.
  fc
    .tuple(fc.constantFrom([0x100_0000, 0xf_ffff], [0, 2]), fc.constantFrom(0xfb, 0xf3), fc.constantFrom(0xa, 0xc))
    .map(([[base, limit], access, flags]) => descriptor(base!, limit!, access, flags)),
)

/** Kernel's and user's code segments, with the stack segments that go with them. */
const PAIRS = fc.constantFrom([0x08, 0x10], [0x1b, 0x23], [0x1b, OTHER | 3], [OTHER | 3, 0x23], [0x08, 0])

function given(long: boolean): fc.Arbitrary<Given> {
  const selector = fc.constantFrom(...SELECTORS)
  // RF, and all that IRET loads without a second look; then the others.
  const image = fc.oneof(
    { arbitrary: bits(0x24_3ed5 | 0x1_0000), weight: 4 },
    { arbitrary: bits(0x3f_7fff), weight: 1 },
  )
  const target = often(BigInt(TARGET), long ? fc.constant(0x8000_0000_0000n) : fc.constant(0xffff_0000n))
  const frame = fc
    .tuple(
      fc.oneof({ arbitrary: PAIRS, weight: 4 }, { arbitrary: fc.tuple(selector, selector), weight: 1 }),
      image,
      target,
    )
    .map(([[code, stack], flags, to]): Given['frame'] => [code!, flags & ~0x100, OTHER_STACK, stack!, to])
  return fc.record({
    cpl: often(0, fc.constant(3)),
    smap: fc.boolean(),
    eflags: often(2, bits(0x24_7ed5)),
    interrupt: fc.boolean(),
    shadow: often(0, fc.constantFrom(1, 2)),
    other: otherDescriptor,
    selector: fc.oneof(fc.constantFrom(0x10, 0x23, 0), selector),
    frame,
    stack: often(STACK + 0x40, fc.constantFrom(STACK + 8, STACK + 0x3d, STACK + 0x1000 - 12)),
    stackAttributes: often(0xc093, fc.constantFrom(0x8093, 0xc091)),
    sysenter: often(8, fc.constantFrom(0, 0x0b)),
    rdx: fc.constantFrom(TARGET, TARGET + 1),
    data: fc.constantFrom(0xc0f3, 0xc093, 0, 0xc09f, 0xc0fb),
    protection: often(true, fc.constant(false)),
    alignment: fc.boolean(),
    breakpoint: often(false, fc.constant(true)),
  })
}

function writeTables(pc: BareCpu, long: boolean, other: bigint): void {
  const code = long ? descriptor(0, 0xf_ffff, 0x9b, 0xa) : FLAT.code
  const userCode = descriptor(0, 0xf_ffff, 0xfb, long ? 0xa : 0xc)
  const userData = descriptor(0, 0xf_ffff, 0xf3, 0xc)
  for (const [i, each] of [0n, code, FLAT.data, userCode, userData, other, 0n].entries()) pc.write64(GDT + 8 * i, each)
  // All exceptions end the run, and show on the stack; level 3 has one of its own for them.
  pc.load(HANDLERS, new Uint8Array(0x800).fill(HLT))
  // Where vectors lead that are looked up as those of real mode.
  pc.load(REAL_HANDLER, [HLT])
  for (let vector = 0; vector <= 32; vector++) {
    if (long) pc.vector(vector, HANDLERS)
    else pc.write64(IDT + 8 * vector, BigInt(HANDLERS) | (8n << 16n) | (0x8e00n << 32n))
  }
  pc.write64(TSS + 4, long ? BigInt(STACK - 0x4000) : BigInt(STACK - 0x4000) | (0x10n << 32n))
}

/** Puts a processor into a state in front of an instruction, with code and tables in its TLB. */
function prepare(pc: BareCpu, code: readonly number[], state: Given): void {
  const { cpu } = pc
  const long = pc.mode === 'long'
  const s = systemOf(pc)
  cpu.reset(true)
  cpu.load(initialState(pc.mode))
  writeTables(pc, long, state.other)
  pc.load(CODE, [...code, HLT])
  pc.load(TARGET, new Uint8Array(0x800).fill(HLT))
  pc.load(TARGET, MISALIGNED)
  for (const [from, bytes] of STACKS) pc.load(from, new Uint8Array(bytes))
  // An IRET from an empty stack leads here.
  pc.load(0, [HLT])
  const size = long ? 8 : 4
  const [selector, image, pointer, stack, target] = state.frame
  for (const [i, value] of [target, selector, image, pointer, stack].entries()) {
    pc.load(state.stack + i * size, [...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer, 0, size)])
  }
  pc.load(OTHER_STACK, [state.selector, 0])
  setSegment(s, S.TR, 0x28, TSS, 0, 0x67, 0x8b)
  for (const segment of [0, 3, 4, 5]) setSegment(s, segment, segment, 0, 0, 0xffff_ffff, state.data)
  setSegment(s, S.CS, 8 | state.cpl, 0, 0, 0xffff_ffff, (long ? 0xa09b : 0xc09b) | (state.cpl << 5))
  setSegment(s, S.SS, 0x10 | state.cpl, 0, 0, 0xffff_ffff, state.stackAttributes | (state.cpl << 5))
  s.set(S.S_CR4, s.get(S.S_CR4) | (state.smap ? 1 << 21 : 0))
  s.set(S.S_CR0, s.get(S.S_CR0) | (state.alignment ? CR0_AM : 0))
  if (!state.protection && !long) s.set(S.S_CR0, s.get(S.S_CR0) & ~1)
  s.set(S.S_CR2, 0x1234_5678)
  s.set(S.S_DR + 8 * 7, state.breakpoint ? 0x401 : 0x400)
  s.set(S.S_SYSENTER_CS, state.sysenter)
  s.set64(S.S_SYSENTER_ESP, OTHER_STACK, 0)
  s.set64(S.S_SYSENTER_EIP, TARGET, 0)
  s.set(S.S_EFLAGS, state.eflags | 2)
  cpu.setRflags(state.eflags | 2)
  s.set(S.S_SHADOW, state.shadow)
  s.set(S_NMI_BLOCKED, 1)
  pc.setRegister('rax', state.selector)
  pc.setRegister('rcx', OTHER_STACK)
  pc.setRegister('rdx', state.rdx)
  pc.setRegister('rsp', state.stack)
  // Under SMAP the kernel's data are no user's.
  if (long) {
    pc.write64(LARGE_PAGE, BigInt(0x20_0000 | 0x83))
    for (let page = STACK_PAGES; page < STACK_PAGES + 0x12; page++) {
      const isUsers = state.cpl === 3 && page >= STACK >>> 12 ? 4 : 0
      pc.write64(PAGE_TABLE + 8 * page, BigInt((page << 12) | 3 | isUsers))
    }
  }
  pc.host.controlChanged()
  cpu.flushTlb(true)
  cpu.modeChanged()
  for (let set = 0; set < 3; set++) cpu.u8[S.S_EXECUTE_MODES + set] = s.get(S.S_MODE)
  if (state.interrupt) pc.interrupt(0x20)
  for (const [at, flags] of [
    [GDT, SLOW_IMPLICIT],
    [state.stack, SLOW_STACK],
    [OTHER_STACK, 0],
  ] as const) {
    // At level 3 an alignment check may be in the way, and the kernel's pages are.
    if (state.cpl === 0) expect(s.cpu.access(at, 0, 4 | flags)).toBe(S.STATUS_DONE)
  }
}

/** The words of memory that are not zero. */
function words(pc: BareCpu, from: number, bytes: number): readonly string[] {
  const found: string[] = []
  for (let at = from; at < from + bytes; at += 4) {
    const word = pc.memory.u32[(pc.host.ramMa + at) >>> 2] as number
    if (word !== 0) found.push(`${at.toString(16)}: ${word.toString(16)}`)
  }
  return found
}

/** All that an instruction may change. */
function outcome(pc: BareCpu): object {
  const { u32, state } = pc.cpu
  return {
    saved: saveVcpu(pc.cpu),
    segments: [...u32.slice(S.S_SEGMENTS >>> 2, (S.S_SEGMENTS + 0x140) >>> 2)],
    level: [u32[S.S_CPL >>> 2], u32[S.S_MODE >>> 2], u32[S.S_ACCESS_SET >>> 2], u32[S.S_TLB >>> 2]! - state],
    stacks: STACKS.map(([from, bytes]) => words(pc, from, bytes)),
  }
}

/** Runs to HLT, or to a shutdown. @param alone - each instruction by itself @returns instructions that have retired */
function run(pc: BareCpu, alone: boolean): number {
  const { retired } = pc.cpu
  for (let i = 0; i < 20; i++) {
    const { reason } = alone ? pc.step() : pc.run(100)
    if (reason === 'hlt' || reason === 'shutdown') return pc.cpu.retired - retired
  }
  throw new Error(`no HLT: at ${pc.cpu.read64(S.S_RIP).toString(16)} of ${systemOf(pc).segmentField(S.CS, S.SEG_BASE)}`)
}

const LONG: Readonly<Record<string, readonly number[]>> = {
  IRETQ: [0x48, 0xcf],
  'MOV FS, AX': [0x8e, 0xe0],
  'MOV DS, EAX': [0x8e, 0xd8],
  'MOV FS, [RCX]': [0x8e, 0x21],
  'MOV [RCX], GS': [0x8c, 0x29],
  'MOV RAX, GS': [0x48, 0x8c, 0xe8],
  'PUSH FS': [0x0f, 0xa0],
  'POP GS': [0x0f, 0xa9],
  'MOV RAX, CR2': [0x0f, 0x20, 0xd0],
  'MOV RAX, CR8': [0x44, 0x0f, 0x20, 0xc0],
  'MOV RAX, DR7': [0x0f, 0x21, 0xf8],
}
const PROTECTED: Readonly<Record<string, readonly number[]>> = {
  IRETD: [0xcf],
  SYSENTER: [0x0f, 0x34],
  SYSEXIT: [0x0f, 0x35],
  CLAC: [0x0f, 0x01, 0xca],
  STAC: [0x0f, 0x01, 0xcb],
  'MOV ES, AX': [0x8e, 0xc0],
  'MOV SS, AX': [0x8e, 0xd0],
  'MOV GS, AX': [0x8e, 0xe8],
  'MOV FS, [ECX]': [0x8e, 0x21],
  'MOV EAX, DS': [0x8c, 0xd8],
  'MOV AX, SS': [0x66, 0x8c, 0xd0],
  'PUSH DS': [0x1e],
  'PUSH GS, 16 bits': [0x66, 0x0f, 0xa8],
  'POP ES': [0x07],
  'POP FS, 16 bits': [0x66, 0x0f, 0xa1],
  'POP SS': [0x17],
  'MOV EAX, CR0': [0x0f, 0x20, 0xc0],
}
/** Their handlers have them always. */
const HANDLED = /CR8|DR7|SS, AX|POP SS/

describe.each([
  ['long', LONG],
  ['protected', PROTECTED],
] as const)(`%s mode, in generated code and by handlers (seed ${SEED})`, (mode, instructions) => {
  test.each(Object.entries(instructions))('%s', (name, code) => {
    const [generated, reference] = [new BareCpu({ mode, jit: false }), new BareCpu({ mode, jit: false })]
    let quick = 0
    const states = fc.property(given(mode === 'long'), (state) => {
      prepare(reference, code, state)
      prepare(generated, code, state)
      const before = generated.cpu.counts.systemCalls - reference.cpu.counts.systemCalls
      const retired = run(reference, true)
      expect(run(generated, false)).toBe(retired)
      if (generated.cpu.counts.systemCalls - reference.cpu.counts.systemCalls < before) quick++
      expect(outcome(generated)).toEqual(outcome(reference))
    })
    const isEnough = (): boolean => HANDLED.test(name) || quick > AT_LEAST
    for (const seed of seedsUntil(SEED, isEnough)) fc.assert(states, { seed, numRuns: RUNS })
    // The usual states need no handler. An interrupt may come before the instruction.
    if (HANDLED.test(name)) expect(quick).toBeLessThan(AT_MOST)
    else expect(quick).toBeGreaterThan(AT_LEAST)
  })
})

/** What delivery meets in the tables. */
interface Gate {
  /** The level that is interrupted. */
  readonly cpl: 0 | 3
  readonly access: number
  readonly selector: number
  readonly target: bigint
  /** Of the interrupt stack table; outside IA-32e mode these bits are reserved. */
  readonly stack: number
  readonly tableLimit: number
  readonly segmentLimit: number
  readonly segmentType: number
  readonly pointer: bigint
  readonly pointerSelector: number
}

function gates(long: boolean): fc.Arbitrary<Gate> {
  const pointer = STACK - 0x4000
  const pointers = [pointer + 8, pointer + 0x21, pointer + 0x24, pointer + 0x1000].map(BigInt)
  return fc.record({
    cpl: fc.constantFrom(0, 3),
    access: often(0x8e, fc.constantFrom(0x8f, 0xee, 0xef, 0x0e, 0x85, 0x86, 0x87, 0x8c, 0x9e)),
    selector: often(8, fc.constantFrom(...SELECTORS)),
    target: often(BigInt(HANDLERS), fc.constantFrom(BigInt(HANDLERS + 3), ...(long ? [0x8000_0000_0000n] : []))),
    stack: often(0, fc.constantFrom(1, 7)),
    tableLimit: often(0xfff, fc.constantFrom(0x6f, 0x6e, 0x37, 0x36, 0xdf, 0xde, 0x20e, 0x106, 0)),
    segmentLimit: often(0x67, fc.constantFrom(11, 10, 9, 8)),
    segmentType: often(0x8b, fc.constant(0x83)),
    pointer: often(BigInt(pointer), fc.constantFrom(...pointers, ...(long ? [0x8000_0000_0000n] : []))),
    pointerSelector: often(0x10, fc.constantFrom(...SELECTORS)),
  })
}

/** Of a descriptor of code or data. */
const baseOf = (of: bigint): bigint => ((of >> 16n) & 0xff_ffffn) | ((of >> 56n) << 24n)

function prepareGate(pc: BareCpu, vector: number, gate: Gate): void {
  const s = systemOf(pc)
  const { access, selector, target, stack, pointer, pointerSelector } = gate
  const low = (target & 0xffffn) | (BigInt(selector) << 16n) | (BigInt(stack) << 32n) | (BigInt(access) << 40n)
  const whole = low | (((target >> 16n) & 0xffffn) << 48n)
  if (pc.mode === 'long') {
    pc.write64(IDT + 16 * vector, whole)
    pc.write64(IDT + 16 * vector + 8, target >> 32n)
  } else pc.write64(IDT + 8 * vector, whole)
  pc.write64(TSS + 4, pc.mode === 'long' ? pointer : pointer | (BigInt(pointerSelector) << 32n))
  s.set(S.S_SEGMENTS + S.SEG_BYTES * S.IDTR + S.SEG_LIMIT, gate.tableLimit)
  setSegment(s, S.TR, 0x28, TSS, 0, gate.segmentLimit, gate.segmentType)
}

/** Has the TLB know all that delivery looks at. */
function touchTables(pc: BareCpu, state: Given, gate: Gate): void {
  const s = systemOf(pc)
  for (const at of [GDT, IDT, TSS]) expect(s.cpu.access(at, 0, 1 | SLOW_IMPLICIT)).toBe(S.STATUS_DONE)
  const stack = Number(gate.pointer & 0xf_f000n) || STACK - 0x4000
  // From level 3, the stack at first is the user's.
  const own = state.cpl === 0 ? [state.stack, state.stack - 0x40] : []
  for (const at of [stack, STACK - 0x4000 - 0x40, ...own]) {
    expect(s.cpu.access(at, 0, 1 | SLOW_IMPLICIT | SLOW_WRITE | SLOW_PROBE)).toBe(S.STATUS_DONE)
  }
}

describe.each(['long', 'protected'] as const)(
  `events in %s mode, by generated code and by handlers (seed ${SEED})`,
  (mode) => {
    test.each([
      ['an exception', [0x0f, 0x0b], 6],
      ['an exception with an error code', [0x0f, 0x00, 0xd0], 13],
      ['an interrupt', [0x90], 0x20],
    ] as const)('%s', (_, code, vector) => {
      const [generated, reference] = [new BareCpu({ mode, jit: false }), new BareCpu({ mode, jit: false })]
      const accesses = vi.spyOn(accessOf(generated), 'systemAccess')
      let quick = 0
      const states = fc.property(given(mode === 'long'), gates(mode === 'long'), (others, drawn) => {
        // A handler of #GP at level 3 would raise it again, by its HLT, and one of #UD outside RAM by what it finds there.
        const isOutside = drawn.selector >>> 3 === OTHER >>> 3 && baseOf(others.other) !== 0n
        const raisesItAgain = vector === 13 ? drawn.cpl === 3 : vector === 6 && isOutside
        const gate = raisesItAgain ? { ...drawn, selector: 8 } : drawn
        const state = { ...others, cpl: gate.cpl }
        for (const pc of [reference, generated]) {
          prepare(pc, code, state)
          prepareGate(pc, vector, gate)
          // Where nothing is in the TLB, the handlers deliver.
          pc.cpu.flushTlb(true)
        }
        touchTables(generated, state, gate)
        accesses.mockClear()
        const events = ({ counts }: BareCpu['cpu']): number => counts.faults + counts.interrupts
        const before = events(generated.cpu)
        const retired = run(reference, false)
        expect(run(generated, false)).toBe(retired)
        if (events(generated.cpu) > before && accesses.mock.calls.length === 0) quick++
        expect(outcome(generated)).toEqual(outcome(reference))
      })
      for (const seed of seedsUntil(SEED, () => quick > AT_LEAST)) fc.assert(states, { seed, numRuns: RUNS })
      expect(quick).toBeGreaterThan(AT_LEAST)
    })
  },
)
