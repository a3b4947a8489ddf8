// REP MOVS and REP STOS over plain memory against a few lines that follow the manual element by element: the processor
// makes several elements at once where it can, and must leave the same memory and registers.
import { describe, expect, test } from 'vitest'
import { BareCpu, CODE, GDT, IDT, PAGE_TABLE, initialState } from './support/bare-cpu.ts'
import { Random } from './semantics/random.ts'

/** Both operands lie in these bytes. */
const WINDOW = 0x10_0000
const WINDOW_BYTES = 0x6000
const HANDLER = 0x4000
const PAGE = 0x1000
const CASES = 400

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

interface Case {
  readonly move: boolean
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

/** What the manual says (SDM vol. 2B, "MOVS", "STOS", "REP"). @returns RCX, RSI and RDI at the end */
function follow(memory: Uint8Array, c: Case): { counts: number[]; faulted: boolean } {
  let [count, source, destination] = [c.count, c.source, c.destination]
  const step = c.down ? -c.size : c.size
  for (; count > 0; count--) {
    if ((c.move && !within(c.from, source, c.size)) || !within(c.to, destination, c.size))
      return { counts: [count, source, destination], faulted: true }
    const at = ((c.to.base + destination) % 2 ** 32) - WINDOW
    const from = ((c.from.base + source) % 2 ** 32) - WINDOW
    const element = c.move
      ? memory.slice(from, from + c.size)
      : Uint8Array.from({ length: c.size }, (_, i) => Number((c.value >> BigInt(8 * i)) & 0xffn))
    memory.set(element, at)
    if (c.move) source += step
    destination += step
  }
  return { counts: [count, source, destination], faulted: false }
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
    move: random.chance(),
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
  const opcode = (c.move ? 0xa4 : 0xaa) | (c.size === 1 ? 0 : 1)
  pc.load(CODE, [...(c.size === 2 ? [0x66] : []), 0xf3, ...(c.size === 8 ? [0x48] : []), opcode, 0xf4])
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

describe.each(['protected', 'long'] as const)('REP MOVS and REP STOS in %s mode', (mode) => {
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
    const random = new Random(20)
    const fill = Uint8Array.from({ length: WINDOW_BYTES }, () => random.u32())
    let faults = 0
    for (let i = 0; i < CASES; i++) {
      const c = draw(random, mode === 'long')
      const expected = fill.slice()
      const { counts, faulted } = follow(expected, c)
      for (let at = 0; at < WINDOW_BYTES; at += PAGE) pc.load(physical(pc, at), fill.subarray(at, at + PAGE))
      const what = JSON.stringify(c, (_, value: unknown) => (typeof value === 'bigint' ? value.toString(16) : value))
      expect(execute(pc, c), what).toEqual(counts)
      expect(pc.rip === HANDLER + 1, what).toBe(faulted)
      const memory = Uint8Array.from({ length: WINDOW_BYTES }, (_, at) => pc.read8(physical(pc, at)))
      if (Buffer.compare(memory, expected) !== 0) throw new Error(`memory differs: ${what}`)
      if (faulted) faults++
    }
    expect(faults > 20).toBe(mode === 'protected')
  })
})

describe.each([1, 2, 4, 8] as const)('strings of elements of %d bytes', (size) => {
  test('of every short length, near to each other and overlapping, are as the manual has them', () => {
    const pc = new BareCpu()
    const bytes = 512
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
    for (let count = 1; count * size <= 136; count++) {
      for (const distance of [-160, -17, -16, -15, -9, -8, -7, -4, -3, -1, 0, 1, 2, 8, 16, 33, 136]) {
        check({ ...shared, move: true, count, destination: shared.source + distance })
      }
      for (let by = 0; by < 8; by++) check({ ...shared, move: false, count, destination: WINDOW + 160 + by })
    }
  })
})
