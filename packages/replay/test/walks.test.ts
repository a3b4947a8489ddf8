import { describe, expect, test } from 'vitest'
import { AccessKind, AccessLog, LoggedTables, type TableAccess } from '../src/index.ts'

/** Tables in a map; counts what reaches memory. */
class Tables implements TableAccess {
  readonly memory = new Map<number, number>()
  reads = 0
  exchanges = 0

  read32(gpa: number, into: Uint32Array): boolean {
    return this.read64(gpa, into)
  }

  read64(gpa: number, into: Uint32Array): boolean {
    this.reads++
    const value = this.memory.get(gpa)
    into[0] = value ?? 0
    into[1] = value === undefined ? 0 : 0x8000_0000
    return value !== undefined
  }

  compareExchange32(gpa: number, expect: number, value: number): boolean {
    if (this.memory.get(gpa) !== expect) return false
    this.exchanges++
    this.memory.set(gpa, value)
    return true
  }

  compareExchange64(gpa: number, lo: number, _hi: number, newLo: number, _newHi: number): boolean {
    return this.compareExchange32(gpa, lo, newLo)
  }
}

const A = 0x20

function machine(): { log: AccessLog; memory: Tables; tables: LoggedTables; walk: (entries: number[]) => number[] } {
  const log = new AccessLog()
  const memory = new Tables()
  const tables = new LoggedTables(log, memory)
  const into = new Uint32Array(2)
  /** Reads entries top down, sets A from the leaf up, and starts again when an exchange fails, as a walker does. */
  const walk = (entries: number[]): number[] => {
    log.beginWalk()
    for (;;) {
      const values = entries.map((gpa) => (tables.read64(gpa, into) ? (into[0] as number) : -1))
      const failed = entries.toReversed().some((gpa) => {
        const value = values[entries.indexOf(gpa)] as number
        return (value & A) === 0 && !tables.compareExchange64(gpa, value, 0x8000_0000, value | A, 0x8000_0000)
      })
      if (!failed) return values.map((value) => value | A)
    }
  }
  log.begin()
  return { log, memory, tables, walk }
}

describe('page walks of a logged instruction', () => {
  test('each entry is read once and its A bit set once, however many walks and passes use it', () => {
    const { log, memory, walk } = machine()
    for (const [gpa, value] of [
      [0x1000, 0x2007],
      [0x2000, 0x3007],
      [0x2008, 0x4007],
    ] as const)
      memory.memory.set(gpa, value)
    const passes = [1, 2, 3].map((pass) => {
      if (pass > 1) log.restart()
      return [walk([0x1000, 0x2000]), walk([0x1000, 0x2008])]
    })
    expect([memory.reads, memory.exchanges]).toEqual([3, 3])
    expect(passes[1]).toEqual(passes[0])
    expect(passes[2]).toEqual(passes[0])
  })

  test('an entry cleared in memory between two passes still translates', () => {
    const { log, memory, walk } = machine()
    memory.memory.set(0x1000, 0x2007)
    const first = walk([0x1000])
    memory.memory.set(0x1000, 0)
    log.restart()
    expect(walk([0x1000])).toEqual(first)
    expect(memory.memory.get(0x1000)).toBe(0)
  })

  test('a failed exchange reads afresh what that walk used, and earlier walks keep what they had', () => {
    const { log, memory, walk } = machine()
    memory.memory.set(0x1000, 0x2027)
    memory.memory.set(0x2000, 0x3027)
    memory.memory.set(0x2008, 0x4007)
    const first = walk([0x1000, 0x2000])
    // Another vCPU replaces the upper entry and the leaf before the second walk, whose upper read is merged.
    memory.memory.set(0x1000, 0x5027)
    const into = new Uint32Array(2)
    log.beginWalk()
    const tables = new LoggedTables(log, memory)
    tables.read64(0x1000, into)
    expect(into[0]).toBe(0x2027)
    tables.read64(0x2008, into)
    memory.memory.set(0x2008, 0x6007)
    expect(tables.compareExchange64(0x2008, 0x4007, 0x8000_0000, 0x4027, 0x8000_0000)).toBe(false)
    tables.read64(0x1000, into)
    expect(into[0]).toBe(0x5027)
    tables.read64(0x2008, into)
    expect(into[0]).toBe(0x6007)
    expect(tables.compareExchange64(0x2008, 0x6007, 0x8000_0000, 0x6027, 0x8000_0000)).toBe(true)
    memory.memory.clear()
    log.restart()
    expect(walk([0x1000, 0x2000])).toEqual(first)
    expect(walk([0x1000, 0x2008])).toEqual([0x5027, 0x6027])
  })

  test('a pass that leaves out a walk, its result being pinned, gives the others what they had', () => {
    const { log, memory, walk } = machine()
    for (const gpa of [0x1000, 0x2000, 0x2008]) memory.memory.set(gpa, gpa + 0x1007)
    walk([0x1000, 0x2000])
    const second = walk([0x1000, 0x2008])
    memory.memory.clear()
    log.restart()
    expect(walk([0x1000, 0x2008])).toEqual(second)
  })

  test.each([0x1000, 0xffff_f000, 0x1_0000_0000, 0xf_ffff_ffff_f000])(
    'A and D bits of an entry at %i are set there',
    (gpa) => {
      const { log, memory, tables } = machine()
      memory.memory.set(gpa, 1)
      log.beginWalk()
      tables.compareExchange64(gpa, 1, 0, 0x21, 0)
      memory.memory.set(gpa + 8, 1)
      tables.compareExchange32(gpa + 8, 1, 0x21)
      const at = [0, 1].map((i) => [log.kind(i), log.addressHi(i) * 2 ** 32 + log.addressLo(i), log.size(i)])
      expect(at).toEqual([
        [AccessKind.WALK_AD_WRITE, gpa, 8],
        [AccessKind.WALK_AD_WRITE, gpa + 8, 4],
      ])
    },
  )

  test.each([0x1000, 0xffff_fff8, 0xf_ffff_ffff_f000])(
    'what a walk found at %i is recorded there, with its size, also where there is no memory',
    (gpa) => {
      for (const present of [true, false]) {
        const { log, memory, tables } = machine()
        if (present) [gpa, gpa + 8].forEach((each) => memory.memory.set(each, 0x2007))
        const into = new Uint32Array(2)
        log.beginWalk()
        expect([tables.read64(gpa, into), tables.read32(gpa + 8, into)]).toEqual([present, present])
        const at = [0, 1].map((i) => [log.kind(i), log.addressHi(i) * 2 ** 32 + log.addressLo(i), log.size(i)])
        expect(at).toEqual([
          [AccessKind.WALK_READ, gpa, 8],
          [AccessKind.WALK_READ, gpa + 8, 4],
        ])
        expect([0, 1].map((i) => log.walkFoundNothing(i))).toEqual([!present, !present])
      }
    },
  )

  test('an endless race on an entry takes no further room', () => {
    const { log, memory, tables } = machine()
    const into = new Uint32Array(2)
    log.beginWalk()
    for (let i = 0; i < 5000; i++) {
      memory.memory.set(0x1000, 0x2007)
      memory.memory.set(0x2000, i << 12)
      tables.read64(0x1000, into)
      tables.read64(0x2000, into)
      tables.compareExchange64(0x1000, 0x2007, 0x8000_0000, 0x2027, 0x8000_0000)
      memory.memory.set(0x2000, 1)
      tables.compareExchange64(0x2000, i << 12, 0x8000_0000, (i << 12) | A, 0x8000_0000)
    }
    expect(log.count).toBeLessThan(5)
  })

  test('a table in no memory stays absent, whatever is put there between two passes', () => {
    const { log, memory, tables } = machine()
    const into = new Uint32Array(2)
    log.beginWalk()
    expect([tables.read64(0x9000, into), tables.read32(0xa000, into)]).toEqual([false, false])
    memory.memory.set(0x9000, 0x1007).set(0xa000, 0x1007)
    log.restart()
    log.beginWalk()
    expect([tables.read64(0x9000, into), tables.read32(0xa000, into)]).toEqual([false, false])
    const other = new AccessLog()
    other.restore(log.save())
    other.restart()
    other.beginWalk()
    expect(new LoggedTables(other, memory).read64(0x9000, into)).toBe(false)
    // The next instruction looks anew.
    log.end()
    log.begin()
    log.beginWalk()
    expect(tables.read64(0x9000, into)).toBe(true)
  })

  test('32-bit entries above 4 GiB and 64-bit ones keep their size and address', () => {
    const { log, memory, tables } = machine()
    memory.memory.set(0x3_0000_1000, 0x2007)
    memory.memory.set(0x1000, 0x3007)
    const into = new Uint32Array(2)
    for (let i = 0; i < 2; i++) {
      expect(tables.read32(0x3_0000_1000, into)).toBe(true)
      expect([...into]).toEqual([0x2007, i === 0 ? 0x8000_0000 : 0])
      expect(tables.read64(0x1000, into)).toBe(true)
      expect([...into]).toEqual([0x3007, 0x8000_0000])
    }
    expect(memory.reads).toBe(2)
    expect(tables.compareExchange32(0x3_0000_1000, 0x2007, 0x2027)).toBe(true)
    log.beginWalk()
    expect(tables.compareExchange32(0x1000, 0x2007, 0x2027)).toBe(false)
    memory.memory.set(0x8_f000_0000, 1)
    expect(tables.read64(0x8_f000_0000, into)).toBe(true)
    expect(log.addressLo(log.findWalkRead(0xf000_0000, 8))).toBe(0xf000_0000)
    expect(log.dump()).toMatchObject([
      { kind: 'walk-read', address: '0x300001000', size: 4, data: '27200000' },
      { kind: 'walk-read', address: '0x1000', size: 8, data: '0730000000000080' },
      { kind: 'walk-ad-write', address: '0x300001000', size: 4, data: '27200000' },
      { kind: 'walk-read', address: '0x8f0000000', size: 8 },
    ])
  })

  test('walk entries stand between ordered ones without disturbing their order', () => {
    const { log, memory, walk } = machine()
    memory.memory.set(0x1000, 0x2007)
    memory.memory.set(0x1008, 0x2007)
    const pass = (): number[] => [
      log.access(AccessKind.READ, 0x10, 0, 4, 0),
      walk([0x1000]).length,
      log.access(AccessKind.READ, 0x20, 0, 4, 0),
      walk([0x1008]).length,
      log.access(AccessKind.READ, 0x30, 0, 4, 0),
    ]
    const first = pass()
    log.restart()
    expect(pass()).toEqual(first)
    log.end()
  })
})
