import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { TEST_LONG } from '@retrap/tooling/long'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { FrameCounts, INVALID_MFN, P2m, P2mAccess, P2mEntry, P2mType, rightsOf, rightsOfAccess } from '../src/index.ts'
import { codeOf } from './support/entries.ts'

const T = P2mType
const FIRST = 0x1f8
const COUNT = 0x410
/** Frames that device models may have mapped, by the reference's table: what has rights, and is the guest's own. */
const REACHABLE: ReadonlySet<number> = new Set([T.RAM_RW, T.RAM_LOGDIRTY, T.RAM_RO, T.RAM_SHARED, T.IOREQ_SERVER])
const OWN: ReadonlySet<number> = new Set([...REACHABLE, T.RAM_PAGING_OUT, T.RAM_PAGING_IN, T.RAM_BROKEN])
const ALWAYS_BACKED: ReadonlySet<number> = new Set([
  ...REACHABLE,
  T.RAM_PAGING_OUT,
  T.RAM_BROKEN,
  T.MMIO_DIRECT,
  T.MAP_FOREIGN,
  T.GRANT_MAP_RO,
])

interface Frame {
  readonly type: number
  readonly mfn: number
  readonly access: number
}

/** Calls on one frame: what each type becomes, where that is not refused. */
const BECOMES: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  nominate: { [T.RAM_RW]: T.RAM_PAGING_OUT, [T.RAM_LOGDIRTY]: T.RAM_PAGING_OUT },
  evict: { [T.RAM_PAGING_OUT]: T.RAM_PAGED },
  prepare: { [T.RAM_PAGED]: T.RAM_PAGING_IN, [T.RAM_PAGING_IN]: T.RAM_PAGING_IN },
  resume: { [T.RAM_PAGING_OUT]: T.RAM_RW, [T.RAM_PAGING_IN]: T.RAM_RW },
  unshare: { [T.RAM_SHARED]: T.RAM_RW },
  add: { [T.RAM_RW]: T.IOREQ_SERVER },
  unclaim: { [T.IOREQ_SERVER]: T.RAM_RW },
  break: Object.fromEntries([...OWN].map((type) => [type, T.RAM_BROKEN])),
  unmap: { [T.MAP_FOREIGN]: T.MMIO_DM, [T.GRANT_MAP_RO]: T.MMIO_DM },
}

const kinds = [
  ...Object.keys(BECOMES),
  ...['populate', 'hole', 'remove', 'retype', 'direct', 'foreign', 'share', 'mark', 'touch', 'reclaim', 'decrease'],
  ...[
    'cache',
    'target',
    'request',
    'claim',
    'end',
    'sweep',
    'access',
    'write',
    'dirtied',
    'coalesce',
    'shatter',
    'page',
  ],
] as const

const step = fc.record({
  kind: fc.constantFrom(...kinds),
  gfn: fc.tuple(fc.constantFrom(0x1ff, 0x200, 0x203, 0x3fe, 0x400), fc.constantFrom(0, 0, 1, 2)).map(([a, b]) => a + b),
  count: fc.constantFrom(1, 1, 2, 8, 0x200),
  other: fc.integer({ min: 0x200, max: 0x206 }),
  type: fc.constantFrom(T.RAM_RW, T.RAM_RW, T.RAM_LOGDIRTY, T.RAM_RO),
  access: fc.constantFrom(P2mAccess.RWX, P2mAccess.RX, P2mAccess.N, P2mAccess.RX2RW),
})

test('whatever is done to frames of all types: what is refused changes nothing, every release is told once, every frame is counted', () => {
  const memory = MachineMemory.create({ bytes: 24 << 20 })
  const counts = FrameCounts.create(memory)
  const device = memory.frames.allocate(9)
  const theirs = memory.frames.allocate()
  counts.adopt(theirs, 1)
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30, size: 'max' }), (steps) => {
      const free = memory.frames.freeFrames
      const p2m = P2m.create(memory, { counts })
      let released: [number, number][] = []
      p2m.onRelease((gfn, mfn, order) => {
        for (let i = 0; i < 2 ** order; i++) released.push([gfn + i, mfn + i])
      })
      const broken: number[] = []
      let foreign = 0
      const entry = new P2mEntry()
      const look = (): Frame[] =>
        Array.from({ length: COUNT }, (_, i) => {
          p2m.lookup(FIRST + i, entry)
          return { type: entry.type, mfn: entry.mfn, access: entry.access }
        })
      let before = look()
      for (const { kind, gfn, count, other, type, access } of steps) {
        released = []
        const old = before[gfn - FIRST] as Frame
        const run = (): unknown => {
          switch (kind) {
            case 'populate':
              return p2m.populate(gfn, count, type)
            case 'hole':
              return p2m.insertRange(gfn, INVALID_MFN, count, T.INVALID)
            case 'remove':
              return p2m.remove(gfn, old.mfn, count)
            case 'retype':
              return p2m.setType(gfn, count, type)
            case 'direct':
              return p2m.insertRange(gfn, device, count, T.MMIO_DIRECT)
            case 'foreign':
              p2m.insertForeign(gfn, theirs, type === T.RAM_RO ? T.GRANT_MAP_RO : T.MAP_FOREIGN)
              foreign++
              return
            case 'unmap':
              p2m.removeForeign(gfn)
              foreign--
              return
            case 'share':
              return p2m.share(gfn, p2m, other)
            case 'unshare':
              return p2m.unshare(gfn)
            case 'mark':
              return p2m.onDemand.mark(gfn, count)
            case 'touch':
              return p2m.onDemand.populate(gfn)
            case 'reclaim':
              return p2m.onDemand.reclaim(gfn, count)
            case 'decrease':
              return p2m.onDemand.decrease(gfn, count)
            case 'cache':
              return p2m.onDemand.setCache(count)
            case 'target':
              return p2m.onDemand.setTarget(count + 8)
            case 'nominate':
              return p2m.paging.nominate(gfn)
            case 'evict':
              return p2m.paging.evict(gfn)
            case 'request':
              return p2m.paging.request(gfn)
            case 'prepare':
              return p2m.paging.prepare(gfn, new Uint8Array(4096).fill(1))
            case 'resume':
              return p2m.paging.resume(gfn)
            case 'page':
              p2m.paging.nominate(gfn)
              p2m.paging.evict(gfn)
              return p2m.paging.request(gfn)
            case 'claim':
              return p2m.writeClaim.claim(1)
            case 'end':
              return p2m.writeClaim.end(1)
            case 'sweep':
              return p2m.writeClaim.sweep(0, 0x1000)
            case 'add':
              return p2m.writeClaim.add(gfn, 1)
            case 'unclaim':
              return p2m.writeClaim.remove(gfn, 1)
            case 'access':
              return p2m.setAccess(gfn, count, access)
            case 'break':
              p2m.markBroken(gfn)
              broken.push(old.mfn)
              return
            case 'write':
              if (OWN.has(old.type) && old.mfn > 0 && old.type !== T.RAM_SHARED) memory.writeU8(old.mfn * 4096, count)
              return
            case 'dirtied':
              return p2m.dirtied(gfn, count)
            case 'coalesce':
              return p2m.coalesce()
            default:
              return p2m.shatter(gfn)
          }
        }
        const code = codeOf(run)
        seen.add(`${kind} ${old.type} ${code}`)
        const after = look()
        const now = after[gfn - FIRST] as Frame
        if (code !== 'none') {
          // What has been begun to be shared, or to be paged out, is that; everything else is as it was.
          const same = after.map((frame, i) =>
            kind === 'share' || kind === 'page' ? { ...frame, type: (before[i] as Frame).type } : frame,
          )
          expect([kind, code, same]).toEqual([kind, code, before])
          if (kind !== 'page') expect(released).toEqual([])
        } else if (BECOMES[kind] !== undefined)
          expect([kind, old.type, now.type]).toEqual([kind, old.type, BECOMES[kind][old.type]])
        else if (kind === 'retype')
          expect(now.type).toBe([T.RAM_RW, T.RAM_LOGDIRTY, T.RAM_RO].includes(old.type as 0) ? type : old.type)
        // Releases: of what could be reached by a machine frame, and cannot any more.
        const gone: [number, number][] = []
        for (const [i, was] of before.entries()) {
          const is = after[i] as Frame
          const kept = REACHABLE.has(is.type) && is.mfn === was.mfn
          if (REACHABLE.has(was.type) && !kept) gone.push([FIRST + i, was.mfn])
        }
        expect([kind, released.sort(([a], [b]) => a - b)]).toEqual([kind, gone])
        check(after)
        before = after
      }
      for (const { type, mfn, access } of before)
        if (ALWAYS_BACKED.has(type)) expect([mfn > 0, access >= 0]).toEqual([true, true])
      const copy = P2m.create(memory, { counts })
      if (foreign === 0) {
        copy.restore(p2m.save())
        expect(copy.save()).toEqual(p2m.save())
      }
      copy.destroy()
      for (let i = 0; i < COUNT; i++) codeOf(() => p2m.removeForeign(FIRST + i))
      p2m.destroy()
      // Broken frames are never given to anybody; here they are, for the next run.
      for (const mfn of broken) counts.drop(mfn, 1)
      expect(memory.frames.freeFrames).toBe(free)

      function check(frames: readonly Frame[]): void {
        const claimed = p2m.writeClaim.server >= 0
        const references = new Map<number, number>()
        const types = new Map<number, number>()
        for (const [i, { type, mfn, access }] of frames.entries()) {
          const gpa = (FIRST + i) * 4096
          let rights = rightsOf(type) & rightsOfAccess(access)
          // A claim that begins or ends while there are such frames shows when they are changed next.
          if (type === T.IOREQ_SERVER && (claimed || p2m.translateWrite(gpa) < 0)) rights &= ~2
          const ma = mfn * 4096
          const found = [p2m.translate(gpa), p2m.translateWrite(gpa), p2m.translateExecute(gpa)]
          // `expect` takes its time.
          if (found.some((at, bit) => at !== ((rights & (1 << bit)) === 0 ? -1 : ma))) {
            expect([type, access, ...found]).toBe(`rights ${rights} at ${ma}`)
          }
          types.set(type, (types.get(type) ?? 0) + 1)
          if (OWN.has(type) && mfn > 0) references.set(mfn, (references.get(mfn) ?? 0) + 1)
          if (ALWAYS_BACKED.has(type) && mfn <= 0) expect(`type ${type} without a frame`).toBe('')
        }
        for (const mfn of broken) references.set(mfn, (references.get(mfn) ?? 0) + 1)
        references.set(theirs, 1)
        expect([p2m.onDemand.entries, p2m.writeClaim.frames]).toEqual([
          types.get(T.POPULATE_ON_DEMAND) ?? 0,
          types.get(T.IOREQ_SERVER) ?? 0,
        ])
        // Frames that are counted and not mapped are the cache's.
        let cached = 0
        for (let mfn = 1; mfn < memory.frameCount; mfn++) {
          const held = counts.count(mfn)
          const wanted = references.get(mfn) ?? 0
          if (held === wanted) continue
          expect([mfn, held, wanted]).toEqual([mfn, 1, 0])
          cached++
        }
        expect(cached).toBe(p2m.onDemand.cached)
      }
    }),
    { numRuns: slicedCount(150, 3), seed: slicedSeed(0x5eed) },
  )
  // Each call has met several types, and has been both refused and made; in a slice, it has been made at all.
  const least = TEST_LONG ? 2 : 0
  for (const kind of kinds) {
    expect([kind, [...seen].filter((each) => each.startsWith(`${kind} `)).length > least]).toEqual([kind, true])
  }
}, 120_000)
