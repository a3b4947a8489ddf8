// Repeated MOVS, STOS, CMPS and SCAS over plain memory against a few lines that follow the manual element by element: the processor
// makes several elements at once where it can, and must leave the same memory and registers.
import { TEST_JIT } from '@retrap/tooling/jit'
import { slicedCount, slicedSeed, sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { BareCpu, CODE, GDT, IDT, PAGE_TABLE, initialState } from './support/bare-cpu.ts'
import { Random } from './semantics/random.ts'

/** Interpreted, all of them. */
const test = sliceTests(TEST_JIT === false ? 1 : 3)

/** Both operands lie in these bytes. */
const WINDOW = 0x10_0000
const WINDOW_BYTES = 0x6000
const HANDLER = 0x4000
const PAGE = 0x1000
const CASES = slicedCount(600, 4)

interface Segment {
  readonly what: string
  readonly base: number
  readonly limit: number
  readonly attributes: number
}

const SEGMENTS: readonly Segment[] = [
  { what: 'flat', base: 0, limit: 0xffff_ffff, attributes: 0xc093 },
  { what: 'based', base: 0x1234, limit: 0xffff_ffff, attributes: 0xc093 },
  { what: 'based high, so that addresses wrap', base: 0xfff0_0000, limit: 0xffff_ffff, attributes: 0xc093 },
  { what: 'short', base: 0, limit: WINDOW + 0x2fff, attributes: 0x4093 },
  { what: 'expanding down', base: 0, limit: WINDOW + 0x3000, attributes: 0xc097 },
]

/** Opcodes of the forms with bytes (SDM vol. 2B). */
const OPCODES = { move: 0xa4, compare: 0xa6, store: 0xaa, scan: 0xae } as const

interface Case {
  readonly operation: keyof typeof OPCODES
  /** Of a comparison: ends after elements that are equal, or after elements that are not. */
  readonly until: 'equal' | 'unequal'
  readonly size: 1 | 2 | 4 | 8
  readonly down: boolean
  readonly from: Segment
  readonly to: Segment
  readonly source: number
  readonly destination: number
  readonly count: number
  readonly value: bigint
}

function within({ limit, attributes }: Segment, offset: number, size: number): boolean {
  const last = offset + size - 1
  // Type field of expand-down data (SDM vol. 3A, "Limit Checking"); the D/B flag is set in all of them.
  return (attributes & 4) !== 0 ? offset > limit && last <= 0xffff_ffff : last <= limit
}

const readsSource = ({ operation }: Case): boolean => operation === 'move' || operation === 'compare'
const writes = ({ operation }: Case): boolean => operation === 'move' || operation === 'store'

const ARITHMETIC = 0x8d5

/** CF, PF, AF, ZF, SF and OF of a comparison (SDM vol. 1, "Status Flags"). */
function flagsOf(left: bigint, right: bigint, size: number): number {
  const result = BigInt.asUintN(8 * size, left - right)
  const sign = (value: bigint): number => Number((value >> BigInt(8 * size - 1)) & 1n)
  const ones = [...Array(8).keys()].filter((bit) => ((result >> BigInt(bit)) & 1n) !== 0n).length
  return (
    (left < right ? 1 : 0) |
    (ones % 2 === 0 ? 4 : 0) |
    Number((left ^ right ^ result) & 0x10n) |
    (result === 0n ? 0x40 : 0) |
    (sign(result) << 7) |
    ((sign(left) !== sign(right) && sign(left) !== sign(result) ? 1 : 0) << 11)
  )
}

interface End {
  /** RCX, RSI and RDI. */
  readonly counts: number[]
  readonly faulted: boolean
  /** The arithmetic flags: those of the last comparison, if the instruction has ended. */
  readonly flags: number
}

/** Follows the manual (SDM vol. 2B, "MOVS", "STOS", "CMPS", "SCAS", "REP") on `memory`. */
function follow(memory: Uint8Array, c: Case): End {
  let [count, source, destination] = [c.count, c.source, c.destination]
  const step = c.down ? -c.size : c.size
  const value = Uint8Array.from({ length: c.size }, (_, i) => Number((c.value >> BigInt(8 * i)) & 0xffn))
  const number = (bytes: Uint8Array): bigint => bytes.reduceRight((high, byte) => (high << 8n) | BigInt(byte), 0n)
  let flags = 0
  for (let ends = false; count > 0 && !ends; count--) {
    if ((readsSource(c) && !within(c.from, source, c.size)) || !within(c.to, destination, c.size))
      return { counts: [count, source, destination], faulted: true, flags: 0 }
    const at = ((c.to.base + destination) % 2 ** 32) - WINDOW
    const from = ((c.from.base + source) % 2 ** 32) - WINDOW
    const element = readsSource(c) ? memory.slice(from, from + c.size) : value
    if (writes(c)) memory.set(element, at)
    else {
      flags = flagsOf(number(element), number(memory.slice(at, at + c.size)), c.size)
      ends = ((flags & 0x40) !== 0) === (c.until === 'equal')
    }
    if (readsSource(c)) source += step
    destination += step
  }
  return { counts: [count, source, destination], faulted: false, flags }
}

/** Has a comparison go on for some elements: writes equal or unequal ones to its destination. */
function prepare(memory: Uint8Array, c: Case, random: Random): void {
  if (writes(c)) return
  const elements = random.below(c.count + 2)
  for (let i = 0; i < elements; i++) {
    const [source, destination] = [c.source, c.destination].map((at) => at + (c.down ? -i : i) * c.size) as [
      number,
      number,
    ]
    const at = ((c.to.base + destination) % 2 ** 32) - WINDOW
    const from = ((c.from.base + source) % 2 ** 32) - WINDOW
    if (at < 0 || at + c.size > memory.length) return
    for (let byte = 0; byte < c.size; byte++) {
      const value = readsSource(c) ? memory[from + byte]! : Number((c.value >> BigInt(8 * byte)) & 0xffn)
      memory[at + byte] = c.until === 'equal' && byte === c.size - 1 ? value ^ 0x81 : value
    }
  }
}

function draw(random: Random, long: boolean): Case {
  const size = random.pick(long ? ([1, 2, 4, 8] as const) : ([1, 2, 4] as const))
  const down = random.chance(1, 4)
  const [from, to] = [random.pick(SEGMENTS), random.pick(SEGMENTS)].map((s) => (long ? SEGMENTS[0]! : s)) as [
    Segment,
    Segment,
  ]
  const length = random.chance() ? random.below(40) : random.below(0x2000 / size)
  const place = (): number => WINDOW + (down ? 0x2800 : 0) + random.below(0x2000)
  const linear = place()
  // Often a little above or below the source: a pattern is repeated then.
  const other = random.chance() ? place() : linear + random.below(128) - 64
  const offset = ({ base }: Segment, at: number): number => (Math.max(at, WINDOW + (down ? 0x2400 : 0)) - base) >>> 0
  return {
    operation: random.pick(Object.keys(OPCODES) as (keyof typeof OPCODES)[]),
    until: random.pick(['equal', 'unequal'] as const),
    size,
    down,
    from,
    to,
    source: offset(from, linear),
    destination: offset(to, other),
    count: length,
    value: (BigInt(random.u32()) << 32n) | BigInt(random.chance(1, 3) ? 0 : random.u32()),
  }
}

function execute(pc: BareCpu, c: Case): number[] {
  const long = pc.mode === 'long'
  const state = initialState(pc.mode)
  const segment = (s: Segment): (typeof state.segments)['ds'] => ({ ...state.segments.ds, ...s })
  pc.cpu.load({
    ...state,
    registers: { ...state.registers, rflags: c.down ? 0x402 : 2 },
    ...(!long && { segments: { ...state.segments, ds: segment(c.from), es: segment(c.to) } }),
  })
  const opcode = OPCODES[c.operation] | (c.size === 1 ? 0 : 1)
  const prefix = !writes(c) && c.until === 'equal' ? 0xf2 : 0xf3
  pc.load(CODE, [...(c.size === 2 ? [0x66] : []), prefix, ...(c.size === 8 ? [0x48] : []), opcode, 0xf4])
  pc.setRegister('rax', c.value)
  pc.setRegister('rcx', c.count)
  pc.setRegister('rsi', c.source)
  pc.setRegister('rdi', c.destination)
  let exit = pc.run()
  while (exit.reason === 'budget' || exit.reason === 'yield') exit = pc.run()
  expect(exit.reason).toBe('hlt')
  return (['rcx', 'rsi', 'rdi'] as const).map((name) => Number(pc.register(name)))
}

/** Guest-physical address of a byte of the window: in long mode its pages lie in reverse order. */
function physical({ mode }: BareCpu, at: number): number {
  const page = Math.floor(at / PAGE)
  return WINDOW + (mode === 'long' ? WINDOW_BYTES / PAGE - 1 - page : page) * PAGE + (at % PAGE)
}

describe.each(['protected', 'long'] as const)('repeated string instructions in %s mode', (mode) => {
  test(`are as the manual has them, in ${CASES} cases`, () => {
    const pc = new BareCpu({ mode })
    // #GP ends at a HLT of its own.
    pc.load(HANDLER, [0xf4])
    if (mode === 'protected') {
      pc.write64(GDT + 8, 0x00cf_9b00_0000_ffffn)
      pc.write64(IDT + 8 * 13, BigInt(HANDLER) | (8n << 16n) | (0x8e00n << 32n))
    }
    if (mode === 'long') {
      for (let at = 0; at < WINDOW_BYTES; at += PAGE)
        pc.write64(PAGE_TABLE + (8 * (WINDOW + at)) / PAGE, BigInt(physical(pc, at) | 7))
    }
    const random = new Random(slicedSeed(20))
    const fill = Uint8Array.from({ length: WINDOW_BYTES }, () => random.u32())
    let faults = 0
    for (let i = 0; i < CASES; i++) {
      const c = draw(random, mode === 'long')
      const before = fill.slice()
      prepare(before, c, random)
      const expected = before.slice()
      const { counts, faulted, flags } = follow(expected, c)
      for (let at = 0; at < WINDOW_BYTES; at += PAGE) pc.load(physical(pc, at), before.subarray(at, at + PAGE))
      const what = JSON.stringify(c, (_, value: unknown) => (typeof value === 'bigint' ? value.toString(16) : value))
      expect(execute(pc, c), what).toEqual(counts)
      expect(pc.rip === HANDLER + 1, what).toBe(faulted)
      expect(pc.cpu.materialiseFlags() & ARITHMETIC, what).toBe(flags)
      const memory = Uint8Array.from({ length: WINDOW_BYTES }, (_, at) => pc.read8(physical(pc, at)))
      if (Buffer.compare(memory, expected) !== 0) throw new Error(`memory differs: ${what}`)
      if (faulted) faults++
    }
    expect(faults > CASES / 30).toBe(mode === 'protected')
  })
})

describe.each([1, 2, 4, 8] as const)('strings of elements of %d bytes', (size) => {
  test('of every short length, near to each other and overlapping, are as the manual has them', () => {
    const pc = new BareCpu()
    const bytes = 640
    const fill = Uint8Array.from({ length: bytes }, (_, i) => 37 * i + (i >>> 4))
    const [flat] = SEGMENTS as readonly [Segment]
    const shared = { size, down: false, from: flat, to: flat, source: WINDOW + 171, value: 0x8877_6655_4433_2211n }
    const check = (c: Case): void => {
      const expected = fill.slice()
      const { counts } = follow(expected, c)
      pc.load(WINDOW, fill)
      expect(execute(pc, c)).toEqual(counts)
      const at = pc.host.ramMa + WINDOW
      if (Buffer.compare(pc.memory.u8.subarray(at, at + bytes), expected) !== 0) {
        throw new Error(`memory differs: ${c.count} elements, at ${c.destination - WINDOW} from ${c.source - WINDOW}`)
      }
    }
    const counts = Array.from({ length: 136 / size }, (_, i) => i + 1)
    for (const count of [...counts, 256 / size, Math.floor(301 / size)]) {
      for (const distance of [-160, -17, -16, -15, -9, -8, -7, -4, -3, -1, 0, 1, 2, 3, 5, 8, 16, 33, 136]) {
        check({ ...shared, operation: 'move', until: 'equal', count, destination: shared.source + distance })
      }
      for (let by = 0; by < 8; by++)
        check({ ...shared, operation: 'store', until: 'equal', count, destination: WINDOW + 160 + by })
    }
  })
})
