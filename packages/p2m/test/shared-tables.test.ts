/** Maps that share tables, against plain copies of what they map. */
import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameCounts, P2m, P2mEntry, type P2mOptions, P2mType } from '../src/index.ts'

const FIRST = 0x180
/** A part of a table, two whole ones, and a part of another. */
const FRAMES = 128 + 1024 + 64
const MAPS = 4

/** A guest's map, and what it is to hold. */
interface Guest {
  readonly p2m: P2m
  /** By guest frame from {@link FIRST} on: the value written last; absent: it has been removed. */
  readonly plain: Map<number, number>
}

const gfns = fc.oneof(
  fc.integer({ min: FIRST, max: FIRST + FRAMES - 1 }),
  fc.constantFrom(0x1ff, 0x200, 0x201, 0x3ff, 0x400, 0x5ff, 0x600),
)
const which = fc.nat({ max: MAPS - 1 })
const actions = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('write' as const), which, gfn: gfns }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('fork' as const), which, gfn: fc.constant(0) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('destroy' as const), which, gfn: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), which, gfn: gfns }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove a table' as const), which, gfn: fc.constant(0x200) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('coalesce' as const), which, gfn: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('log' as const), which, gfn: gfns }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('invalidate' as const), which, gfn: fc.constant(0) }) },
  ),
  { minLength: 10, maxLength: 40 },
)

const entry = new P2mEntry()

function write(memory: MachineMemory, { p2m, plain }: Guest, gfn: number, value: number): void {
  if (!plain.has(gfn)) return
  p2m.stage2?.resolveFault(gfn)
  if (p2m.lookup(gfn, entry) === p2m.types.shared) p2m.unshare(gfn)
  const ma = p2m.translateLogged(gfn * PAGE_BYTES)
  memory.writeU32(ma, value)
  plain.set(gfn, value)
}

/** As a clone of a machine gets its RAM. */
function fork(memory: MachineMemory, options: P2mOptions, { p2m: from, plain }: Guest): Guest {
  const p2m = P2m.create(memory, options)
  const offered = from.offer(FIRST, FRAMES)
  for (const run of offered.runs) p2m.insertShared(run)
  for (const table of offered.tables) p2m.insertSharedTable(table)
  offered.close()
  return { p2m, plain: new Map(plain) }
}

function check(memory: MachineMemory, { p2m, plain }: Guest): void {
  const seen = new Map<number, number>()
  for (const { gfn, mfn, order } of p2m.leaves())
    for (let i = 0; i < 2 ** order; i++) seen.set(gfn + i, memory.readU32((mfn + i) * PAGE_BYTES))
  expect(seen.size).toBe(plain.size)
  for (const [gfn, value] of plain) if (seen.get(gfn) !== value) expect([gfn, seen.get(gfn)]).toEqual([gfn, value])
  const { frames } = p2m.statistics()
  expect(Object.values(frames).reduce((sum, each) => sum + each, 0)).toBe(plain.size)
  expect(p2m.frames).toBe(plain.size)
}

/** A table goes from one map that another has as well. */
const REMOVED_TABLE: typeof actions extends fc.Arbitrary<infer Steps> ? Steps : never = [
  { do: 'fork', which: 0, gfn: 0 },
  { do: 'remove a table', which: 0, gfn: 0x200 },
  { do: 'fork', which: 0, gfn: 0 },
]

const FORMATS: readonly [string, P2mOptions][] = [
  ['EPT', {}],
  ['LPAE', { stage2: {} }],
]

test.each(FORMATS)(
  '%s: what one map writes, removes or frees, no other map sees; and all is free in the end',
  (_, how) => {
    fc.assert(
      fc.property(actions, (steps) => {
        const memory = MachineMemory.create({ bytes: 48 << 20 })
        const counts = FrameCounts.create(memory)
        const free = memory.frames.freeFrames
        const options = { ...how, counts }
        const first: Guest = { p2m: P2m.create(memory, options), plain: new Map() }
        first.p2m.populate(FIRST, FRAMES)
        for (let i = 0; i < FRAMES; i++) first.plain.set(FIRST + i, 0)
        const guests: (Guest | undefined)[] = [first]
        let value = 0
        for (const { do: what, which: number, gfn } of steps) {
          const guest = guests[number]
          if (guest === undefined) continue
          const { p2m, plain } = guest
          if (what === 'write') write(memory, guest, gfn, ++value)
          else if (what === 'fork') {
            const at = guests.findIndex((each, i) => i > 0 && each === undefined)
            const clone = fork(memory, options, guest)
            if (at > 0) guests[at] = clone
            else if (guests.length < MAPS) guests.push(clone)
            else clone.p2m.destroy()
          } else if (what === 'destroy' && number > 0) {
            p2m.destroy()
            guests[number] = undefined
          } else if (what === 'remove' && plain.has(gfn)) {
            p2m.lookup(gfn, entry)
            p2m.remove(gfn, entry.mfn)
            plain.delete(gfn)
          } else if (what === 'remove a table') {
            for (let i = 0; i < 512;) {
              const { mfn } = (p2m.lookup(gfn + i, entry), entry)
              const count = plain.has(gfn + i) ? Math.min(p2m.contiguous(gfn + i, 512 - i), 512 - i) : 1
              if (plain.has(gfn + i)) p2m.remove(gfn + i, mfn, count)
              for (let k = 0; k < count; k++) plain.delete(gfn + i + k)
              i += count
            }
          } else if (what === 'coalesce') p2m.coalesce()
          else if (what === 'log') p2m.setType(gfn, 1, p2m.types.logged, p2m.types.ram)
          else if (what === 'invalidate') p2m.stage2?.invalidate()
          for (const each of guests) if (each !== undefined) check(memory, each)
        }
        for (const each of guests) each?.p2m.destroy()
        expect(memory.frames.freeFrames).toBe(free)
      }),
      { numRuns: 6, examples: [[REMOVED_TABLE]] },
    )
  },
)

test('a fork looks at no frame that has not changed, and costs a clone two tables', () => {
  const memory = MachineMemory.create({ bytes: 64 << 20 })
  const counts = FrameCounts.create(memory)
  const source = P2m.create(memory, { counts })
  source.populate(0, 8192)
  source.offer(0, 8192).close()
  const free = memory.frames.freeFrames
  const offered = source.offer(0, 8192)
  const clone = P2m.create(memory, { counts })
  const released: number[] = []
  clone.onRelease((gfn) => released.push(gfn))
  for (const table of offered.tables) clone.insertSharedTable(table)
  // Top table, control block, and a table each of two levels.
  expect(free - memory.frames.freeFrames).toBe(4)
  expect(counts.count(source.translate(0x1000) / PAGE_BYTES)).toBe(1)
  clone.unshare(5)
  expect(free - memory.frames.freeFrames).toBe(6)
  expect(released).toEqual([5])
  offered.close()
  // Frames that others have still are not reported; those of the clone's own tables are.
  clone.destroy()
  expect(new Set(released.map((gfn) => gfn >> 9))).toEqual(new Set([0]))
  expect(memory.frames.freeFrames).toBe(free)
})

test('a table that a map alone has is its own again, without a copy', () => {
  const memory = MachineMemory.create({ bytes: 16 << 20 })
  const counts = FrameCounts.create(memory)
  const map = P2m.create(memory, { counts })
  map.populate(0, 1024)
  map.offer(0, 1024).close()
  const free = memory.frames.freeFrames
  map.unshare(7)
  expect([memory.frames.freeFrames, map.lookup(7, entry), map.lookup(8, entry)]).toEqual([
    free,
    P2mType.RAM_RW,
    P2mType.RAM_SHARED,
  ])
})
