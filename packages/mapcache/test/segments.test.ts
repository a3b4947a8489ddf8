/** The pieces of a mapping, whatever kinds of frames it covers and wherever buckets end. */
import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type FrameKind, type GuestMap, MapCache } from '../src/index.ts'

const FRAMES = 48
const memory = MachineMemory.create({ bytes: 4 << 20 })

interface Frame {
  readonly kind: FrameKind
  readonly mfn: number
}

/** Runs of frames, one after another; with `apart`, machine frames that are not consecutive. */
const frames = fc
  .array(
    fc.record({
      kind: fc.constantFrom<FrameKind>('ram', 'ram', 'rom', 'mmio', 'hole'),
      count: fc.integer({ min: 1, max: 9 }),
      apart: fc.boolean(),
    }),
    { minLength: 4, maxLength: 16, size: 'max' },
  )
  .map((runs) => {
    const all: Frame[] = []
    let mfn = 100
    for (const { kind, count, apart } of runs) {
      if (apart) mfn += 7
      for (let i = 0; i < count; i++) all.push({ kind, mfn: kind === 'ram' || kind === 'rom' ? mfn++ : -1 })
    }
    return all.slice(0, FRAMES)
  })

/** A map of these frames, which says of each how far it goes on, or no more than `most` frames of it. */
function mapOf(all: readonly Frame[], most: number): GuestMap {
  return {
    lookup(gfn, into) {
      const { kind, mfn } = all[gfn] ?? { kind: 'hole', mfn: -1 }
      let run = 1
      const follows = (i: number): boolean =>
        gfn + i < all.length && all[gfn + i]!.kind === kind && (mfn < 0 || all[gfn + i]!.mfn === mfn + i)
      while (run < most && follows(run)) run++
      Object.assign(into, { kind, mfn, run })
    },
  }
}

test('a mapping is in as few pieces as its frames allow, before and after its pages are cached', () => {
  const range = fc.record({ gpa: fc.nat(FRAMES * 4096), length: fc.integer({ min: 1, max: 30 * 4096 }) })
  fc.assert(
    fc.property(
      frames,
      fc.array(range, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(1, 2, 8, 64),
      fc.constantFrom(1, 3, 512),
      fc.boolean(),
      (all, ranges, pages, most, writable) => {
        const bucketBytes = pages * 4096
        const cache = new MapCache({ memory, map: mapOf(all, most), bucketBytes, budgetBytes: 3 * bucketBytes })
        for (const { gpa, length } of [...ranges, ...ranges]) {
          const expected: { kind: FrameKind; gpa: number; length: number; ma: number }[] = []
          for (let at = gpa; at < gpa + length;) {
            const end = Math.min(gpa + length, (Math.floor(at / 4096) + 1) * 4096)
            const { kind, mfn } = all[Math.floor(at / 4096)] ?? { kind: 'hole', mfn: -1 }
            const ma = mfn < 0 ? -1 : mfn * 4096 + (at % 4096)
            const last = expected.at(-1)
            if (last?.kind === kind && (ma < 0 || last.ma + last.length === ma)) last.length += end - at
            else expected.push({ kind, gpa: at, length: end - at, ma })
            at = end
          }
          const mapping = writable ? cache.mapForWriting(gpa, length) : cache.map(gpa, length)
          const found = mapping.segments.map((segment) => ({
            kind: segment.kind,
            gpa: segment.gpa,
            length: segment.length,
          }))
          expect(found).toEqual(
            expected.map(({ kind, gpa: start, length: bytes }) => ({ kind, gpa: start, length: bytes })),
          )
          mapping.release()
        }
      },
    ),
    { numRuns: 400, seed: 20_261_121 },
  )
})
