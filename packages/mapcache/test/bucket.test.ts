import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Bucket, BucketSet } from '../src/bucket.ts'

const PAGES = 16

/** How many pages from each one on have consecutive frames; 0 where there is none. */
function runsOf(frames: readonly (number | undefined)[]): number[] {
  const runs = Array.from({ length: frames.length }, () => 0)
  for (let at = frames.length - 1; at >= 0; at--) {
    const frame = frames[at]
    if (frame !== undefined) runs[at] = frames[at + 1] === frame + 1 ? runs[at + 1]! + 1 : 1
  }
  return runs
}

test('a bucket knows how far the frames from each page on are consecutive, whatever is made valid and invalid', () => {
  const step = fc.record({
    page: fc.nat(PAGES - 1),
    count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: PAGES })),
    // Distance of frame and page: neighbours are often consecutive.
    apart: fc.constantFrom(100, 100, 107),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20, size: 'max' }), (steps) => {
      const bucket = new Bucket(0, PAGES)
      const frames: (number | undefined)[] = Array.from({ length: PAGES }, () => undefined)
      for (const { page, count, apart } of steps) {
        const frame = page + apart
        const pages = Math.min(count, PAGES - page)
        const valid = frames.slice(page, page + pages).filter((each) => each !== undefined).length
        if (valid === 0) {
          bucket.set(page, pages, frame, false)
          for (let i = 0; i < pages; i++) frames[page + i] = frame + i
        } else if (valid === pages) {
          bucket.clear(page, pages)
          frames.fill(undefined, page, page + pages)
        }
        expect([...bucket.runs]).toEqual(runsOf(frames))
        expect(bucket.validPages).toBe(frames.filter((each) => each !== undefined).length)
      }
    }),
    { numRuns: 500, seed: 20_261_121 },
  )
})

test('a set finds each bucket by its index, and the one used longest ago, however many share a chain', () => {
  const step = fc.record({ index: fc.constantFrom(...Array.from({ length: 12 }, (_, i) => 97 * i)), add: fc.boolean() })
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 60, maxLength: 80, size: 'max' }),
      fc.constantFrom(1, 2, 8),
      (steps, most) => {
        const set = new BucketSet(most)
        // In the order of their last use.
        const model = new Map<number, Bucket>()
        for (const { index, add } of steps) {
          const found = set.get(index)
          expect(found).toBe(model.get(index) ?? null)
          model.delete(index)
          if (found !== null && !add) set.remove(found)
          else if (found === null && add) set.add(new Bucket(index, 1))
          else if (found !== null) set.touch(found)
          const now = set.get(index)
          if (now !== null) model.set(index, now)
          expect([set.size, set.oldest()]).toEqual([model.size, [...model.values()][0] ?? null])
          expect(new Set(set.all())).toEqual(new Set(model.values()))
        }
      },
    ),
    { numRuns: 200, seed: 20_261_121 },
  )
})
