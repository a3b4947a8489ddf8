// What the compiler of hot code does with programs of the toy instruction set, each against the reference.
import { PAGE_BYTES } from '@retrap/memory'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { CompiledCode } from '../../src/index.ts'
import { assemble, type Line } from '../toy/assemble.ts'
import { SYSTEM, encode, type Source } from '../toy/encoding.ts'
import { toyHelper } from '../toy/helper.ts'
import { EAGER, page, run, type RunOptions } from '../toy/run.ts'

const HALT: Line = { op: 'sys', value: SYSTEM.halt }

const set = (rd: number, value: number): Line => ({ op: 'movi', rd, value })
/** Ends a loop: counts register `rd` down by register 7, which is 1, and goes round until it is zero. */
const loopEnd = (rd: number, label: string): Line[] => [
  { op: 'sub', rd, rs: 7 },
  { op: 'bz', value: 3 },
  { op: 'jmp', to: label },
]
const many = (count: number, line: Line): Line[] => Array.from({ length: count }, () => line)

describe('a unit', () => {
  test('is a loop', () => {
    const { jit } = run([set(7, 1), set(0, 5000), 'again', { op: 'add', rd: 1, rs: 0 }, ...loopEnd(0, 'again'), HALT])
    expect(jit!.counts).toMatchObject({ units: 1, live: 1 })
  })

  test('is a loop in a loop, with a call', () => {
    const { jit } = run([
      ...[set(7, 1), set(0, 100), 'outer', set(1, 30), 'inner'],
      { op: 'call', to: 'double' },
      ...loopEnd(1, 'inner'),
      ...loopEnd(0, 'outer'),
      HALT,
      'double',
      { op: 'add', rd: 2, rs: 7 },
      { op: 'add', rd: 2, rs: 2 },
      { op: 'jr', rs: 6 },
    ])
    expect(jit!.counts.live).toBeLessThanOrEqual(3)
  })

  test.each([
    ['before the end of a page', 0xf00],
    ['over the end of a page', 0xff2],
    ['with an instruction in two pages', 0xff1],
  ])('is a loop %s', (_, start) => {
    const { jit } = run(
      [set(7, 1), set(0, 5000), 'again', { op: 'add', rd: 1, rs: 0 }, set(2, 77), ...loopEnd(0, 'again'), HALT],
      { start },
    )
    expect(jit!.counts.units).toBeLessThanOrEqual(2)
  })

  test('ends its turns where the budget does', () => {
    run([set(7, 1), set(0, 500), 'again', ...many(5, { op: 'nop' }), ...loopEnd(0, 'again'), HALT], { budget: 7 })
  })

  test('notices attention where its turn may end', () => {
    const lines: Line[] = [
      ...([set(7, 1), set(0, 300), 'outer', { op: 'sys', value: SYSTEM.attention }, set(1, 3)] as Line[]),
      ...['inner', ...many(3, { op: 'nop' })],
      ...loopEnd(1, 'inner'),
      ...loopEnd(0, 'outer'),
      HALT,
    ]
    expect(run(lines).seen.log).toHaveLength(300)
  })

  test('leads to another that is too large to be part of it', () => {
    const body = (rd: number): Line[] => many(90, { op: 'add', rd, rs: 7 })
    const lines = [
      ...[set(7, 1), set(0, 300), 'outer', set(1, 3), 'first', ...body(3), ...loopEnd(1, 'first')],
      ...[set(1, 3), 'second', ...body(4)],
      ...loopEnd(1, 'second'),
      ...loopEnd(0, 'outer'),
      HALT,
    ]
    // Odd budgets end turns on the way from one to the other.
    expect(run(lines).jit!.counts.live).toBeGreaterThan(1)
    expect(run(lines, { budget: 777 }).jit!.counts.live).toBeGreaterThan(1)
  })

  test('has a loop of its own in it that is a large unit, too', () => {
    const lengths: number[] = []
    const onCode = ({ instructions }: CompiledCode): void => void lengths.push(instructions.length)
    const body = (rd: number): Line[] => many(50, { op: 'add', rd, rs: 7 })
    const lines = [
      ...[set(7, 1), set(0, 300), 'outer', ...body(3), set(1, 3), 'inner', ...body(4)],
      ...loopEnd(1, 'inner'),
      ...loopEnd(0, 'outer'),
      HALT,
    ]
    // Turns end at either head, so that both are units.
    const { jit } = run(lines, { budget: 77, jit: { threshold: 20, fewestInstructions: 1, onCode } })
    expect(jit!.counts.live).toBeGreaterThan(1)
    expect(Math.min(...lengths)).toBeGreaterThan(100)
  })
})

test('a single instruction between units is a unit of its own', () => {
  const lengths: number[] = []
  const onCode = ({ instructions }: CompiledCode): void => void lengths.push(instructions.length)
  const lines: Line[] = [
    ...([set(7, 1), set(0, 2000), 'again', { op: 'call', to: 'long' }, ...loopEnd(0, 'again'), HALT, 'long'] as Line[]),
    // More than a unit has, so that none leads to the end of it.
    ...many(250, { op: 'nop' }),
    { op: 'jmp', to: 'return' },
    ...many(PAGE_BYTES, { op: 'nop' }),
    'return',
    { op: 'jr', rs: 6 },
  ]
  run(lines, { jit: { threshold: 100, onCode } })
  expect(lengths).toContain(1)
})

describe('a threshold beyond 10,000', () => {
  /** Runs three loops of 30,000 rounds each. @returns how many were compiled, where that takes so long */
  const compiled = (milliseconds: number): number => {
    let time = 0
    vi.spyOn(process, 'threadCpuUsage').mockImplementation(() => ({ user: 1000 * time, system: 0 }))
    const loops = [1, 2, 3].flatMap((i) => [set(0, 30_000), `loop ${i}`, ...loopEnd(0, `loop ${i}`)])
    const onCode = (): void => void (time += milliseconds)
    const { jit } = run([set(7, 1), ...loops, HALT], { jit: { threshold: 40_000, fewestInstructions: 1, onCode } })
    return jit!.counts.units
  }
  afterEach(() => vi.restoreAllMocks())

  test('is for places that are hot while much has been compiled', () => {
    // The first loop takes all credit, and the others end before the threshold.
    expect(compiled(1000)).toBe(1)
    expect(compiled(10)).toBe(3)
  })

  test('counts anew where a place has become part of a unit', () => {
    let time = 0
    vi.spyOn(process, 'threadCpuUsage').mockImplementation(() => ({ user: 1000 * time, system: 0 }))
    const onCode = (): void => void (time += 1000)
    // The first loop takes all credit. The second one calls, but for its first rounds, and is compiled with what it calls.
    const lines: Line[] = [
      ...([{ op: 'jmp', to: 'spend' }, 'called', { op: 'add', rd: 2, rs: 7 }, { op: 'jr', rs: 6 }, 'spend'] as Line[]),
      ...([set(7, 1), set(0, 30_000), 'spent', ...loopEnd(0, 'spent'), set(0, 45_000), set(5, 5000)] as Line[]),
      ...([
        'again',
        { op: 'sub', rd: 5, rs: 7 },
        { op: 'bz', to: 'calls' },
        { op: 'jmp', to: 'on' },
        'calls',
      ] as Line[]),
      ...([set(5, 1), { op: 'call', to: 'called' }, 'on', ...loopEnd(0, 'again')] as Line[]),
      // The third one brings the count of what it calls to 40,000, and is not compiled.
      ...([set(0, 12_000), 'last', { op: 'call', to: 'called' }, ...loopEnd(0, 'last'), HALT] as Line[]),
    ]
    const { jit } = run(lines, { jit: { threshold: 40_000, onCode } })
    expect(jit!.counts.units).toBe(2)
  })
})

describe('a place that is watched before it is compiled', () => {
  /** Lengths of what is compiled of a loop of 6 instructions, with 21 more in one of so many rounds. */
  const lengths = (rounds: number, budget: number): number[] => {
    const seen: number[] = []
    const onCode = ({ instructions }: CompiledCode): void => void seen.push(instructions.length)
    const lines: Line[] = [
      ...([
        set(7, 1),
        set(0, 9000),
        set(2, 1),
        'again',
        { op: 'sub', rd: 2, rs: 7 },
        { op: 'bz', to: 'rare' },
      ] as Line[]),
      ...([{ op: 'jmp', to: 'on' }, 'rare', ...many(20, { op: 'add', rd: 3, rs: 7 }), set(2, rounds), 'on'] as Line[]),
      ...loopEnd(0, 'again'),
      HALT,
    ]
    run(lines, { jit: { threshold: 1600, onCode }, budget })
    return seen
  }

  test.each([1_000_000, 777])('is compiled with what was executed meanwhile, in turns of %i', (budget) => {
    expect(lengths(3, budget)).toEqual([27])
    expect(lengths(3000, budget)).toEqual([6])
  })
})

test('what was left out of a large loop, and is executed in each round later, is compiled with the loop', () => {
  const seen: number[] = []
  const onCode = ({ instructions }: CompiledCode): void => void seen.push(instructions.length)
  const lines: Line[] = [
    ...([set(7, 1), set(0, 9000), set(2, 4000), 'again', ...many(90, { op: 'add', rd: 4, rs: 7 })] as Line[]),
    ...([
      { op: 'sub', rd: 2, rs: 7 },
      { op: 'bz', to: 'later' },
      { op: 'jmp', to: 'on' },
    ] as Line[]),
    ...(['later', ...many(20, { op: 'add', rd: 3, rs: 7 }), set(2, 1), 'on', ...loopEnd(0, 'again')] as Line[]),
    HALT,
  ]
  run(lines, { jit: { threshold: 300, watch: 20, onCode } })
  const round = 90 + 2 + loopEnd(0, 'again').length
  expect(seen).toEqual([round + 1, round + 1 + 21])
})

describe('a computed branch', () => {
  /** Goes through `count` places in turn, by a register that moves from one to the next. */
  const dispatch = (count: number): Line[] => {
    const places = Array.from({ length: count }, (_, i) => [
      `place ${i}`,
      { op: 'add', rd: 2, rs: i % 3 === 0 ? 7 : 2 } as Line,
      { op: 'adr', rd: 3, to: i + 1 < count ? `place ${i + 1}` : 'end' } as Line,
      { op: 'jmp', to: 'next' } as Line,
    ])
    return [
      ...([
        set(7, 1),
        set(0, 400),
        'outer',
        { op: 'adr', rd: 3, to: 'place 0' },
        'next',
        { op: 'jr', rs: 3 },
      ] as Line[]),
      ...places.flat(),
      'end',
      ...loopEnd(0, 'outer'),
      HALT,
    ]
  }

  test.each([[2], [3], [12], [30]])('learns its %d targets, and the unit is compiled anew with them', (count) => {
    let largest = 0
    const onCode = ({ instructions }: CompiledCode): void => {
      largest = Math.max(largest, instructions.length)
    }
    run(dispatch(count), { jit: { threshold: 100, fewestInstructions: 1, onCode } })
    expect(largest).toBeGreaterThan(3 * count)
  })
})

describe('another page that is mapped to other frames in turn', () => {
  const SECOND = 0x200
  /** Code in the second page that adds 1 to a register, and goes back. */
  const other = (rd: number, from: number): Uint8Array => {
    const frame = new Uint8Array(PAGE_BYTES).fill(0xff)
    frame.set(
      encode([
        { op: 'add', rd, rs: 7 },
        { op: 'jmp', value: from - (PAGE_BYTES + SECOND + 5) },
      ]),
      SECOND,
    )
    return frame
  }

  /** Goes to the second page and comes back to `back`, ten times, then swaps the second page and the third. */
  const rounds = (go: readonly Line[]): Line[] => [
    ...([
      set(7, 1),
      set(0, 600),
      set(2, 1),
      set(3, 2),
      { op: 'adr', rd: 1, value: PAGE_BYTES + SECOND - 24 },
    ] as Line[]),
    ...['outer', set(6, 10), 'again'],
    ...go,
    'back',
    ...loopEnd(6, 'again'),
    { op: 'sys', value: SYSTEM.remap },
    ...loopEnd(0, 'outer'),
    HALT,
  ]

  test.each([
    ['a jump', (to: number): Line[] => [{ op: 'jmp', value: to - 3 }]],
    ['a computed jump', (): Line[] => [{ op: 'jr', rs: 1 }]],
    ['a jump from a large unit', (to: number): Line[] => [...many(90, { op: 'nop' }), { op: 'jmp', value: to - 93 }]],
  ])('is executed as it is mapped, after %s', (_, go) => {
    const again = assemble(rounds([])).labels.get('again')!
    const lines = rounds(go(PAGE_BYTES + SECOND - again))
    const { bytes, labels } = assemble(lines)
    const first = new Uint8Array(PAGE_BYTES).fill(0xff)
    first.set(bytes)
    const back = labels.get('back')!
    const frames = [first, other(4, back), other(5, back)]
    const { seen } = run(lines, { pages: [0, 1, 2].map(page), frames })
    expect(seen.registers.slice(4, 6)).toEqual([3000n, 3000n])
  })

  test('holds the second half of an instruction', () => {
    const linear = new Uint8Array(3 * PAGE_BYTES).fill(0xff)
    const [loop, start] = [0x400, PAGE_BYTES - 3]
    const jump = (from: number, to: number): Source => ({ op: 'jmp', value: to - from - 3 })
    const remap: Line = { op: 'sys', value: SYSTEM.remap }
    const lines = [...loopEnd(6, 'go'), remap, set(6, 10), ...loopEnd(0, 'go'), HALT, 'go']
    const { bytes, labels } = assemble(lines)
    linear.set(bytes, loop)
    const go = loop + labels.get('go')!
    linear.set(encode([jump(go, start)]), go)
    // A MOVI, all of whose immediate but a byte lies in the second page.
    for (const [i, value] of [0x1111_1111, 0x2222_2222].entries()) {
      const code = encode([{ op: 'movi', rd: 1, value }, { op: 'add', rd: 4, rs: 1 }, jump(start + 8, loop)])
      linear.set(code.slice(0, 3), start)
      linear.set(code.slice(3), (i + 1) * PAGE_BYTES)
    }
    const frames = [0, 1, 2].map((i) => linear.slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES))
    run([], { start, pages: [0, 1, 2].map(page), frames, registers: [600n, 0n, 1n, 2n, 0n, 0n, 10n, 1n] })
  })
})

describe('a page that the TLB has lost', () => {
  /** Reads the second page in each round, after the TLB has been made to forget it. */
  const rounds = (count: number): Line[] => [
    ...([set(7, 1), set(0, count), set(2, 1), set(3, 1), { op: 'adr', rd: 1, value: PAGE_BYTES + 0x40 }] as Line[]),
    'again',
    { op: 'sys', value: SYSTEM.remap },
    { op: 'load', rd: 4, rs: 1 },
    ...loopEnd(0, 'again'),
    HALT,
  ]

  test('is found by the unit itself, once it has been missed often', () => {
    const [few, many] = [run(rounds(500)), run(rounds(5000))].map(({ jit }) => jit!.counts.units)
    // That it helps shows in that the unit is not compiled once more.
    expect(many! - few!).toBe(1)
  })
})

describe('a helper', () => {
  const lines = [set(7, 1), ...[1, 2, 3].flatMap((n) => [set(0, 900), `${n}`, set(n, 5), ...loopEnd(0, `${n}`)]), HALT]

  test.each([
    ['answers at once', 1, Infinity, { units: 3, helped: 3, live: 3 }],
    ['answers late', 5, Infinity, { units: 3, helped: 3, live: 3 }],
    ['has work from the third place on', 1, Infinity, { units: 3, helped: 1, live: 3 }, 2],
    ['dies at the second job, and code is compiled here', 5, 1, { units: 3, helped: 1 }],
  ])('%s', (_, late, jobs, counts, placesBefore = 0) => {
    const helper = { ...toyHelper(false, late, jobs), placesBefore }
    const { jit } = run(lines, { budget: 100, jit: { ...EAGER, threshold: 400, watch: 0, helper } })
    expect(jit!.counts).toMatchObject({ ...counts, revived: 0 })
    // Later rounds are for the unit, without another 400.
    expect(jit!.counts.executed).toBeGreaterThan(3 * 300 * 4)
  })
})

describe('code that is written', () => {
  /** Every 16th round of a loop writes the immediate of a MOVI in it. */
  const lines: Line[] = [
    ...([set(7, 1), set(0, 8000), set(5, 16), 'again', { op: 'sub', rd: 5, rs: 7 }] as Line[]),
    { op: 'bz', value: 3 },
    { op: 'jmp', to: 'patched' },
    { op: 'adr', rd: 1, to: 'patched' },
    { op: 'store', rd: 1, rs: 0, value: 2 },
    set(5, 16),
    ...['patched', set(2, 0x7777)],
    { op: 'add', rd: 3, rs: 2 },
    ...loopEnd(0, 'again'),
    HALT,
  ]

  test.each<[string, RunOptions]>([
    ['by the interpreter', {}],
    ['by a function of a form', { hot: new Set(), jit: { ...EAGER, called: ['store'] } }],
    ['before a helper has compiled it', { budget: 100, jit: { ...EAGER, helper: toyHelper(false, 3) } }],
  ])('takes effect in the unit that writes it, %s', (_, options) => {
    expect(run(lines, options).jit!.counts.units).toBeGreaterThan(0)
  })

  test('ends the unit that has learnt of its page only since it was compiled', () => {
    const code: Line[] = [
      ...([set(7, 1), set(0, 9000), set(5, 3000), { op: 'adr', rd: 1, value: PAGE_BYTES - 18 }, 'again'] as Line[]),
      { op: 'adr', rd: 6, to: 'back' },
      { op: 'jr', rs: 1 },
      'back',
      { op: 'sub', rd: 5, rs: 7 },
      { op: 'bz', value: 3 },
      { op: 'jmp', to: 'go on' },
      { op: 'store', rd: 1, rs: 0, value: 2 },
      ...[set(5, 3000), 'go on', ...loopEnd(0, 'again'), HALT],
    ]
    const frames = [[], code, [set(2, 0x7777), { op: 'add', rd: 4, rs: 2 } as Line, { op: 'jr', rs: 6 } as Line]].map(
      (lines) => {
        const frame = new Uint8Array(PAGE_BYTES).fill(0xff)
        frame.set(assemble(lines).bytes)
        return frame
      },
    )
    // Both pages lie on the same side of 4 GiB.
    const { jit } = run([], { start: PAGE_BYTES, pages: [0, 1, 2].map(page), frames })
    expect(jit!.counts.units).toBeGreaterThan(1)
  })

  test('is compiled again ever more rarely', () => {
    // Once for each round, if it did not wait longer and longer.
    expect(run(lines).jit!.counts.units).toBeLessThan(100)
  })
})

describe('code beyond the budget', () => {
  /** Loops one after the other, again and again; no unit holds what is between them. */
  const lines: Line[] = [
    ...[set(7, 1), set(5, 40), 'round'],
    ...Array.from({ length: 12 }, (_, i) => [
      ...[set(1, 8), `first ${i}`, { op: 'add', rd: 2, rs: 1 } as Line, ...loopEnd(1, `first ${i}`)],
      { op: 'count', rd: 4, rs: 4 } as Line,
      ...[set(1, 8), `loop ${i}`, { op: 'xor', rd: 3, rs: 1 } as Line, ...loopEnd(1, `loop ${i}`)],
      { op: 'count', rd: 4, rs: 4 } as Line,
    ]).flat(),
    ...loopEnd(5, 'round'),
    HALT,
  ]

  afterEach(() => {
    vi.restoreAllMocks()
  })

  test('is not compiled while all other code is in use', () => {
    const { evictions, units, liveBytes } = run(lines, { jit: { ...EAGER, codeBytes: 4000 } }).jit!.counts
    expect(evictions).toBe(0)
    expect(units).toBeLessThan(12)
    // One unit may be more than the budget.
    expect(liveBytes).toBeLessThan(6000)
  })

  test('is compiled soon after other code has become cold', () => {
    // Every look at the clock is later than the one before by more than code may be idle.
    let time = 0
    vi.spyOn(performance, 'now').mockImplementation(() => (time += 1000))
    const loops = [1, 2].flatMap((i) => [set(0, 3000), `loop ${i}`, ...loopEnd(0, `loop ${i}`)])
    const jit = { threshold: 100, fewestInstructions: 1, codeBytes: 1 }
    const { counts } = run([set(7, 1), ...loops, HALT], { jit }).jit!
    // The second loop finds that the first one has just been executed, and asks again in time.
    expect(counts).toMatchObject({ units: 2, evictions: 1, live: 1 })
    expect(counts.executed).toBeGreaterThan(10_000)
  })

  test('is executed again after a flush of the code cache, without being compiled again', () => {
    const options = { budget: 500 }
    const whole = run(lines, options).jit!.counts
    const flushed = run(lines, {
      ...options,
      afterTurn: ({ cache }, turns) => {
        if (turns === 8) cache.flush()
      },
    }).jit!.counts
    expect([flushed.units, whole.revived]).toEqual([whole.units, 0])
    expect(flushed.revived).toBeGreaterThan(5)
    expect([flushed.live, flushed.liveBytes]).toEqual([whole.live, whole.liveBytes])
  })

  test('is given up once it is cold, and compiled again where it is hot again', () => {
    let time = 0
    vi.spyOn(performance, 'now').mockImplementation(() => (time += 1000))
    const [all, few] = [16 << 20, 4000].map((codeBytes) => run(lines, { jit: { ...EAGER, codeBytes } }).jit!.counts)
    expect(all).toMatchObject({ evictions: 0 })
    expect(few!.evictions).toBeGreaterThan(20)
    expect(few!.live).toBeLessThan(all!.live / 2)
    expect(few!.liveBytes).toBeLessThan(all!.liveBytes / 2)
  })
})
