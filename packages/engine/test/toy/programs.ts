import { PAGE_BYTES } from '@retrap/memory'
import fc from 'fast-check'
import { LINK_REGISTER, SYSTEM, encode, type Source } from './encoding.ts'
import { baseOf, originOf, type ToyMachine, type ToyPage } from './machine.ts'

const register = fc.nat(7)

/** A word whose first bytes are instructions: for stores into code. */
const code = fc
  .array(fc.oneof(fc.constantFrom(0x00, 0x0812, 0x0102, 0x0308, 0x0009), fc.nat(0xffff)), {
    minLength: 2,
    maxLength: 2,
  })
  .map(([a = 0, b = 0]) => a | (b << 16) | 0)

const source: fc.Arbitrary<Source> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ op: fc.constant('movi' as const), rd: register, value: code }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('movi' as const), rd: register, value: fc.nat(12) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constantFrom(
        'add' as const,
        'sub' as const,
        'xor' as const,
        'addz' as const,
        'mul' as const,
        'nop' as const,
      ),
      rd: register,
      rs: register,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom('load' as const, 'store' as const),
      rd: register,
      rs: register,
      value: fc.integer({ min: -20, max: 20 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('adr' as const),
      rd: register,
      value: fc.integer({ min: -0x60, max: 0x60 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('bz' as const), value: fc.integer({ min: -60, max: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('jmp' as const), value: fc.integer({ min: -80, max: 80 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('call' as const), value: fc.integer({ min: -80, max: 80 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('jr' as const), rs: register }) },
  { weight: 1, arbitrary: fc.constant({ op: 'jr' as const, rs: LINK_REGISTER }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('count' as const), rd: register, rs: register }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('sys' as const),
      // A halt ends the program, so it is rare.
      value: fc.oneof(
        { weight: 12, arbitrary: fc.integer({ min: 1, max: 7 }) },
        { weight: 1, arbitrary: fc.constant(SYSTEM.halt) },
      ),
    }),
  },
)

const page: fc.Arbitrary<ToyPage | undefined> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ frame: fc.nat(2), writable: fc.constant(true), device: fc.constant(false) }) },
  { weight: 1, arbitrary: fc.record({ frame: fc.nat(2), writable: fc.boolean(), device: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant(undefined) },
)

/** Frames full of bytes that are mostly instructions, from a seed. */
function noise(seed: number): Uint8Array {
  let x = seed | 1
  return Uint8Array.from({ length: PAGE_BYTES }, () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return x >>> 11
  })
}

/** Instructions of loops: registers 0 to 3 change, 4 and 5 point to data and to code, returns go by 6. */
const loopSource: fc.Arbitrary<Source> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constantFrom('add' as const, 'sub' as const, 'xor' as const, 'addz' as const, 'mul' as const),
      rd: fc.nat(3),
      rs: register,
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('movi' as const), rd: fc.nat(3), value: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('adr' as const), rd: fc.nat(3), value: fc.nat(0x60) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('load' as const),
      rd: fc.nat(3),
      rs: fc.constantFrom(4, 5),
      value: fc.nat(60),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('store' as const),
      rd: fc.oneof({ weight: 8, arbitrary: fc.constant(4) }, { weight: 1, arbitrary: fc.constant(5) }),
      rs: register,
      value: fc.nat(60),
    }),
  },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('bz' as const), value: fc.integer({ min: -20, max: 20 }) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('call' as const), value: fc.nat(12) }) },
  { weight: 2, arbitrary: fc.constant({ op: 'jr' as const, rs: LINK_REGISTER }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('count' as const), rd: fc.nat(3), rs: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('sys' as const),
      value: fc.constantFrom(SYSTEM.increment, SYSTEM.attention, SYSTEM.trap, SYSTEM.remap, SYSTEM.mode, SYSTEM.dma),
    }),
  },
)

/** Random machines whose programs are loops: what is executed often is compiled. */
export function loopMachines(relocated: boolean): fc.Arbitrary<ToyMachine> {
  const origin = originOf(relocated)
  return fc
    .record({ machine: machines(relocated), program: fc.array(loopSource, { minLength: 4, maxLength: 60 }) })
    .map(({ machine: { start, frames, ...machine }, program }) => {
      const { length } = encode(program)
      const bytes = encode([...program, { op: 'jmp', value: -length - 3 }])
      const linear = frames.map((frame) => frame.slice())
      for (const [i, byte] of bytes.entries()) linear[start + i < PAGE_BYTES ? 0 : 1]![(start + i) % PAGE_BYTES] = byte
      const second: ToyPage = { frame: 1, writable: true, device: false }
      const [data, code, top] = [0x400, start, start].map((offset) => origin + BigInt(offset))
      const registers = [...machine.registers.slice(0, 4), data!, code!, top! - baseOf(relocated), 1n]
      const pages = [machine.pages[0], second, ...machine.pages.slice(2)]
      // Exceptions begin anew.
      return { ...machine, start, handler: start, frames: linear, pages, registers }
    })
}

/** Random machines: a program that passes from the first page into the second, and registers that point near it. */
export function machines(relocated: boolean): fc.Arbitrary<ToyMachine> {
  const origin = originOf(relocated)
  return fc
    .record({
      first: fc.constant<ToyPage>({ frame: 0, writable: true, device: false }),
      second: page,
      others: fc.tuple(page, page),
      seed: fc.integer(),
      program: fc.array(source, { minLength: 10, maxLength: 80 }),
      start: fc.integer({ min: 0xf40, max: 0xffc }),
      handler: fc.constantFrom(0x800, 0xff0, 0x1010),
      pointers: fc.array(fc.integer({ min: 0xf00, max: 0x10c0 }), { minLength: 8, maxLength: 8 }),
    })
    .map(({ first, second, others, seed, program, start, handler, pointers }) => {
      const frames = [0, 1, 2].map((i) => noise(seed + 77 * i))
      const bytes = encode(program)
      const secondFrame = second === undefined ? 1 : second.frame
      for (const [i, byte] of bytes.entries()) {
        const at = start + i
        frames[at < PAGE_BYTES ? 0 : secondFrame]![at % PAGE_BYTES] = byte
      }
      return {
        relocated,
        pages: [first, second, ...others],
        frames,
        registers: pointers.map((offset) => origin + BigInt(offset)),
        start,
        handler,
      }
    })
}
