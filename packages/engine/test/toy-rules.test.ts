import { PAGE_BYTES } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { SYSTEM, encode, type Source } from './toy/encoding.ts'
import { INLINABLE } from './toy/forms.ts'
import { originOf, type ToyMachine, type ToyPage } from './toy/machine.ts'
import { ToyProcessor } from './toy/processor.ts'

const hot: ReadonlySet<string> = new Set(INLINABLE)
const ORIGIN = originOf(false)
const page = (frame: number): ToyPage => ({ frame, writable: true, device: false })
const HALT: Source = { op: 'sys', value: SYSTEM.halt }

interface RunOptions {
  readonly budget?: number
  readonly arenaBytes?: number
}

/** A processor that has run a program, with bytes that are no instructions around it. */
function run(
  program: readonly Source[],
  { start = 0, budget = 1000, arenaBytes = 256 << 10, ...rest }: Partial<ToyMachine> & RunOptions = {},
): ToyProcessor {
  const bytes = encode(program)
  const linear = new Uint8Array(2 * PAGE_BYTES).fill(0xff)
  linear.set(bytes, start)
  const processor = new ToyProcessor(
    {
      relocated: false,
      pages: [page(0), page(1), page(0), undefined],
      frames: [linear.slice(0, PAGE_BYTES), linear.slice(PAGE_BYTES)],
      registers: [],
      start,
      handler: 0x800,
      ...rest,
    },
    { hot, arenaBytes },
  )
  processor.run(budget)
  return processor
}

/** Offset of instruction `i` in a program. */
const offsetOf = (program: readonly Source[], i: number): number => encode(program.slice(0, i)).length

describe('code that is written while it runs', () => {
  const increment = 0x0102_010c // sys 1; and its second byte again
  const rewrite = (target: number): Source[] => [
    { op: 'movi', rd: 1, value: increment },
    { op: 'adr', rd: 2, value: target },
    { op: 'store', rd: 2, rs: 1 },
    { op: 'nop' },
    { op: 'nop' },
    { op: 'nop' },
    { op: 'nop' },
    HALT,
  ]

  test('a store into the next instructions takes effect at once', () => {
    const program = rewrite(0)
    const from = offsetOf(program, 1)
    const processor = run(rewrite(offsetOf(program, 3) - from))
    expect(processor.seen).toMatchObject({ halted: true, log: [] })
    expect(processor.seen.registers[0]).toBe(1n)
  })

  test('so does a store through another page that maps the same frame', () => {
    const program = rewrite(0)
    const from = offsetOf(program, 1)
    const aliased = rewrite(offsetOf(program, 3) - from + 2 * PAGE_BYTES)
    expect(run(aliased).seen.registers[0]).toBe(1n)
  })

  test('data beside the code leaves the code alone, 256 times', () => {
    const stores = (count: number): Source[] => [
      { op: 'adr', rd: 2, value: 0x400 },
      { op: 'movi', rd: 3, value: count },
      { op: 'store', rd: 2, rs: 3 },
      { op: 'movi', rd: 4, value: 1 },
      { op: 'sub', rd: 3, rs: 4 },
      { op: 'bz', value: 3 },
      { op: 'jmp', value: -(3 + 6 + 2 + 2 + 3) },
      HALT,
    ]
    expect(run(stores(256), { budget: 10_000 }).cache.invalidations).toBe(0)
    expect(run(stores(257), { budget: 10_000 }).cache.invalidations).toBe(1)
  })
})

describe('an instruction in two pages', () => {
  const program: Source[] = [{ op: 'movi', rd: 1, value: 0x1234_5678 }, HALT]

  test('is executed whole, and addresses pass 4 GiB between its bytes', () => {
    const { seen } = run(program, { start: PAGE_BYTES - 3 })
    expect(seen.registers[1]).toBe(0x1234_5678n)
    expect(seen).toMatchObject({ halted: true, retired: 2, pc: ORIGIN + BigInt(PAGE_BYTES + 5) })
  })

  test('faults at the first byte of a second page that is not mapped, with nothing changed', () => {
    const { seen } = run(program, { start: PAGE_BYTES - 3, pages: [page(0)], budget: 1 })
    expect(seen.log).toEqual([`0 fault 2 ${(ORIGIN + BigInt(PAGE_BYTES)).toString(16)}`])
    expect(seen.registers[7]).toBe(ORIGIN + BigInt(PAGE_BYTES - 3))
    expect(seen.registers[1]).toBe(0n)
  })

  test('follows its second page when another frame is mapped there', () => {
    const linear = new Uint8Array(3 * PAGE_BYTES).fill(0xff)
    // movi, with one byte of its immediate in the first page; then the other frame is mapped, whose jump leads back to it.
    const remap: Source = { op: 'sys', value: SYSTEM.remap }
    const start = PAGE_BYTES - 3
    linear.set(encode([{ op: 'movi', rd: 1, value: 0x1111_1111 }, remap]), start)
    const second = encode([{ op: 'movi', rd: 1, value: 0x2222_2222 }, HALT, { op: 'jmp', value: -11 }])
    linear.set(second.slice(3), 2 * PAGE_BYTES)
    const { seen } = run([], {
      start,
      pages: [page(0), page(1), page(2)],
      frames: [0, 1, 2].map((i) => linear.slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)),
      registers: [0n, 0n, 1n, 2n],
    })
    // The byte in the first page stays, the three in the second change.
    expect(seen.registers[1]).toBe(0x2222_2211n)
    expect(seen).toMatchObject({ halted: true, log: [] })
  })
})

describe('a write to the second page of an instruction', () => {
  test('is seen, though nothing else in that page has been decoded', () => {
    const linear = new Uint8Array(2 * PAGE_BYTES).fill(0xff)
    const start = PAGE_BYTES - 2
    const target = (displacement: number): number => start + 3 + displacement
    // A jump with its last byte in the second page; DMA changes that byte, and the second time it leads elsewhere.
    linear.set(encode([{ op: 'jmp', value: -0x100 }]), start)
    const back: Source = { op: 'jmp', value: start - (target(-0x100) + 5) }
    linear.set(encode([{ op: 'sys', value: SYSTEM.dma }, back]), target(-0x100))
    linear.set(encode([HALT]), target(-0x200))
    const { seen } = run([], {
      start,
      frames: [linear.slice(0, PAGE_BYTES), linear.slice(PAGE_BYTES)],
      registers: [0n, 0n, 0n, 1n, 0xfen],
    })
    expect(seen).toMatchObject({ halted: true, retired: 5, log: [] })
  })
})

describe('a full arena', () => {
  test('is emptied, and no execute entry leads to where the records were', () => {
    // Four frames that each add 1 to a register of their own and jump to the next: one slot table too many for the arena.
    const frames = [0, 1, 2, 3].map((i) => {
      const frame = new Uint8Array(PAGE_BYTES).fill(0xff)
      frame.set(
        encode([
          { op: 'add', rd: i, rs: 7 },
          { op: 'jmp', value: i === 3 ? -3 * PAGE_BYTES - 5 : PAGE_BYTES - 5 },
        ]),
      )
      return frame
    })
    const registers = [0n, 0n, 0n, 0n, 0n, 0n, 0n, 1n]
    const processor = run([], { pages: [0, 1, 2, 3].map(page), frames, registers, budget: 80, arenaBytes: 64 << 10 })
    expect(processor.seen.registers.slice(0, 4)).toEqual([10n, 10n, 10n, 10n])
    expect(processor.cache.flushes).toBeGreaterThan(5)
  })

  test('while the second page of an instruction is looked up: the instruction is decoded anew', () => {
    const linear = new Uint8Array(4 * PAGE_BYTES).fill(0xff)
    const put = (at: number, ...program: readonly Source[]): void => linear.set(encode(program), at)
    const jump = (from: number, to: number): Source => ({ op: 'jmp', value: to - from - 3 })
    const crossing = PAGE_BYTES - 3
    // Three of the four slot tables fit, that of the second page first. It is then mapped to the fourth frame, whose table
    // comes to lie where the second page's was.
    const [start, third, remap] = [PAGE_BYTES + 0x100, 3 * PAGE_BYTES, 0x200]
    put(start, jump(start, crossing))
    put(crossing, { op: 'movi', rd: 1, value: 0x1111_1111 }, jump(crossing + 6, third))
    put(third, jump(third, remap))
    put(remap, { op: 'sys', value: SYSTEM.remap }, jump(remap + 2, crossing))
    linear.set(encode([{ op: 'movi', rd: 1, value: 0x2222_2222 }, HALT]).slice(3), 2 * PAGE_BYTES)
    const processor = run([], {
      start,
      pages: [0, 1, 2, 3].map(page),
      frames: [0, 1, 2, 3].map((i) => linear.slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)),
      registers: [0n, 0n, 1n, 2n],
      arenaBytes: 64 << 10,
    })
    expect(processor.seen.registers[1]).toBe(0x2222_2211n)
    expect(processor.seen).toMatchObject({ halted: true, log: [] })
    expect(processor.cache.flushes).toBe(1)
  })
})

describe('turns and attention', () => {
  const forward: Source[] = [
    { op: 'sys', value: SYSTEM.attention },
    { op: 'bz', value: 1 },
    { op: 'nop' },
    { op: 'movi', rd: 1, value: 5 },
    { op: 'jmp', value: -6 - 3 },
  ]

  test('attention is noticed after the next backward branch, not after a forward one', () => {
    const { seen } = run(forward, { budget: 4 })
    expect(seen.log).toEqual(['4 attention'])
  })

  test('a turn ends late rather than at a forward branch', () => {
    const { seen } = run(forward.slice(1), { budget: 1 })
    expect(seen).toMatchObject({ retired: 3, pc: ORIGIN + 3n })
  })

  test('a repeated instruction ends a turn between two iterations', () => {
    const { seen } = run([{ op: 'count', rd: 1, rs: 2 }, HALT], { registers: [0n, 0n, 100n], budget: 40 })
    expect(seen).toMatchObject({ retired: 0, cost: 40, pc: ORIGIN })
    expect(seen.registers.slice(1, 3)).toEqual([40n, 60n])
  })

  test('an exception costs 64 instructions', () => {
    const { seen } = run([{ op: 'sys', value: SYSTEM.trap }], { budget: 1 })
    expect(seen).toMatchObject({ retired: 0, cost: 64, pc: ORIGIN + 0x800n })
  })
})
