// Where a unit is left, the interpreter goes on from exactly there: in a later page, and in an instruction in two pages.
import { PAGE_BYTES } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { type ExitReason, STATUS_ERROR } from '../../src/index.ts'
import { SYSTEM, encode, type Source } from '../toy/encoding.ts'
import { INLINABLE } from '../toy/forms.ts'
import { ToyProcessor } from '../toy/processor.ts'
import { EAGER, page, run } from '../toy/run.ts'

/** A frame with instructions at some offsets. */
function frame(...parts: readonly (readonly [offset: number, code: readonly Source[]])[]): Uint8Array {
  const bytes = new Uint8Array(PAGE_BYTES).fill(0xff)
  for (const [offset, code] of parts) bytes.set(encode(code), offset)
  return bytes
}

const jump = (from: number, to: number): Source => ({ op: 'jmp', value: to - from - 3 })
const HALT: Source = { op: 'sys', value: SYSTEM.halt }

test('after an exit from the second page of a unit, a branch in the interpreter stays in that page', () => {
  const [FIRST, SECOND, END] = [0x220, PAGE_BYTES + 0x200, PAGE_BYTES + 0x220]
  // COUNT is the interpreter's. In the last round, the branch after it leads to HALT for the first time; at the same
  // offset of the first page the loop begins.
  const frames = [
    frame([FIRST, [{ op: 'add', rd: 4, rs: 7 }, { op: 'add', rd: 4, rs: 7 }, jump(FIRST + 4, SECOND)]]),
    frame(
      [
        SECOND - PAGE_BYTES,
        [
          { op: 'sub', rd: 0, rs: 7 },
          { op: 'count', rd: 3, rs: 2 },
          { op: 'bz', value: END - (SECOND + 6) },
          jump(SECOND + 6, FIRST),
        ],
      ],
      [END - PAGE_BYTES, [HALT]],
    ),
  ]
  const registers = [600n, 0n, 0n, 0n, 0n, 0n, 0n, 1n]
  const { seen, jit } = run([], { start: FIRST, pages: [0, 1].map(page), frames, registers })
  expect(seen.registers[4]).toBe(1200n)
  expect(jit!.counts.exits.system).toBeGreaterThan(500)
})

describe('an instruction in two pages', () => {
  const [GO, LOOP] = [0x400, 0x420]
  /** The last byte of the first page. */
  const AT = PAGE_BYTES - 1

  /**
   * Each round goes through an instruction whose first byte is in the first page, and whose other bytes are in the second
   * and differ between two frames. After ten rounds that page is mapped to the other frame; a unit leads to the
   * instruction next.
   */
  test.each<readonly [string, Source, Source, ExitReason]>([
    ['that a unit executes', { op: 'add', rd: 4, rs: 7 }, { op: 'add', rd: 4, rs: 1 }, 'mapping'],
    [
      'that the host executes',
      { op: 'sys', value: SYSTEM.increment },
      { op: 'sys', value: SYSTEM.attention },
      'mapping',
    ],
    ['that the interpreter executes', { op: 'count', rd: 4, rs: 1 }, { op: 'count', rd: 0, rs: 1 }, 'system'],
  ])('%s is the one that its second page has now', (_, one, other, reason) => {
    const code: Source[] = [
      // The interpreter executes all from here on, and enters the unit at GO.
      { op: 'count', rd: 4, rs: 1 },
      { op: 'sub', rd: 6, rs: 7 },
      { op: 'bz', value: 3 },
      jump(LOOP + 6, GO),
      { op: 'sys', value: SYSTEM.remap },
      { op: 'movi', rd: 6, value: 10 },
      { op: 'sub', rd: 5, rs: 7 },
      { op: 'bz', value: 3 },
      jump(LOOP + 21, GO),
      HALT,
    ]
    const seconds = [one, other].map((source) =>
      frame([0, [{ op: 'nop' }, jump(1, LOOP - PAGE_BYTES)]]).map((byte, i) => (i === 0 ? encode([source])[1]! : byte)),
    )
    const first = frame([GO, [{ op: 'movi', rd: 1, value: 3 }, jump(GO + 6, AT)]], [LOOP, code])
    first[AT] = encode([one])[0]!
    const { seen, jit } = run([], {
      start: GO,
      pages: [0, 1, 2].map(page),
      frames: [first, ...seconds],
      registers: [0n, 0n, 1n, 2n, 0n, 60n, 10n, 1n],
      // The unit is compiled in the midst of the ten rounds.
      jit: { ...EAGER, threshold: 4 },
    })
    expect(seen.registers.slice(5, 7)).toEqual([0n, 10n])
    expect(jit!.counts.exits[reason]).toBeGreaterThan(10)
  })

  test('whose operand’s page the TLB has lost is counted as one that misses, and finds it by itself then', () => {
    const REMAPPED = 2n
    const LOAD = PAGE_BYTES - 2
    const START = LOAD - 3
    /** The third page, which is swapped with itself in each round, is read by a load in the first and second pages. */
    const unitsIn = (rounds: bigint): number => {
      const load = encode([{ op: 'load', rd: 4, rs: 1 }])
      const first = frame([START, [{ op: 'sys', value: SYSTEM.remap }, { op: 'nop' }]])
      first.set(load.subarray(0, 2), LOAD)
      const back = START - PAGE_BYTES
      const second = frame([1, [{ op: 'sub', rd: 0, rs: 7 }, { op: 'bz', value: 3 }, jump(5, back), HALT]])
      second.set(load.subarray(2), 0)
      const third = new Uint8Array(PAGE_BYTES).fill(7)
      const { jit } = run([], {
        start: START,
        pages: [0, 1, 2].map(page),
        frames: [first, second, third],
        registers: [rounds, 0x1_0000_1000n, REMAPPED, REMAPPED, 0n, 0n, 0n, 1n],
        jit: { ...EAGER, threshold: 4, misses: 16 },
      })
      expect(jit!.counts.exits.miss).toBe(16)
      return jit!.counts.units
    }
    // Compiled once more, the unit fills the TLB; it is not compiled again and again.
    expect(unitsIn(400n)).toBe(unitsIn(300n))
  })
})

test('an error of the host within a unit is that status, with the state before the instruction', () => {
  const code = frame([
    0,
    [{ op: 'add', rd: 4, rs: 7 }, { op: 'sys', value: SYSTEM.increment }, { op: 'add', rd: 5, rs: 7 }, jump(6, 0)],
  ])
  /** Runs a loop up to the hundredth call of the host, which breaks. */
  const broken = (jit: typeof EAGER | undefined): ToyProcessor => {
    let calls = 0
    const processor = new ToyProcessor(
      {
        relocated: false,
        pages: [page(0)],
        frames: [code],
        registers: [0n, 0n, 0n, 0n, 0n, 0n, 0n, 1n],
        start: 0,
        handler: 0x800,
      },
      { hot: new Set(INLINABLE), breaks: () => ++calls === 100, ...(jit && { jit }) },
    )
    expect(() => processor.run(10_000)).toThrow(`status ${STATUS_ERROR}`)
    return processor
  }
  const [plain, compiled] = [broken(undefined), broken(EAGER)]
  expect(plain.seen).toMatchObject({ registers: [99n, 0n, 0n, 0n, 100n, 99n, 0n, 1n], retired: 397 })
  expect(compiled.seen).toEqual(plain.seen)
  expect(compiled.jit!.counts.exits.handler).toBe(1)
})
