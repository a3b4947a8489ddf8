import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Invalidation, MapCache, WritableMapping } from '../src/index.ts'
import { createGuest } from './support/guest.ts'

const FIRST = 0x10
const PAGES = 12

interface Held {
  readonly mapping: WritableMapping
  readonly by: number
  /** Guest frame by guest frame: machine frame and the serial number of its contents, or null for a hole. */
  readonly saw: ({ mfn: number; serial: number } | null)[]
  readonly gfn: number
}

const page = fc.integer({ min: 0, max: PAGES - 1 })
const which = fc.integer({ min: 0, max: 1 })
const operation = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), page, count: fc.integer({ min: 1, max: 4 }), which }),
  fc.record({ kind: fc.constant('remove' as const), page, count: fc.integer({ min: 1, max: 4 }), which }),
  fc.record({ kind: fc.constant('hold' as const), page, count: fc.integer({ min: 1, max: 5 }), which }),
  fc.record({ kind: fc.constant('release' as const), page, count: fc.constant(1), which }),
  fc.record({ kind: fc.constant('notice' as const), page, count: fc.integer({ min: 1, max: 12 }), which }),
  fc.record({ kind: fc.constant('flush' as const), page, count: fc.constant(1), which }),
  fc.record({ kind: fc.constant('die' as const), page, count: fc.constant(1), which }),
)

/**
 * Two device models' caches, small enough to evict, over a guest that changes its map. Every frame has a serial number
 * in its first word when it is given to the guest; a frame that is freed is scrubbed, so that reuse shows.
 */
test('whatever a guest does to its map, nobody sees a frame that is not there for him, and every reference goes back', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { minLength: 5, maxLength: 60, size: 'max' }),
      fc.boolean(),
      (operations, development) => {
        const guest = createGuest(1 << 20)
        const { memory, counts } = guest
        const free = memory.frames.freeFrames
        guest.ram(FIRST)
        guest.remove(FIRST)
        const tables = free - memory.frames.freeFrames
        const make = (): MapCache => guest.cache({ bucketBytes: 0x4000, budgetBytes: 0x8000, development })
        const caches = [make(), make()]
        /** By cache: removals that it has not been told of. */
        const untold = [new Set<number>(), new Set<number>()]
        const notices: { by: number; notice: Invalidation; frames: Set<number> }[] = []
        let held: Held[] = []
        let serial = 0

        const serialAt = (mfn: number): number => memory.readU32(mfn * 4096)
        const drop = (gone: (each: Held) => boolean): void => {
          for (const each of held) if (gone(each)) each.mapping.release()
          held = held.filter((each) => each.mapping.held)
        }
        const check = (): void => {
          for (const { saw } of held) {
            for (const frame of saw) {
              if (frame === null) continue
              expect(counts.count(frame.mfn)).toBeGreaterThan(0)
              expect(serialAt(frame.mfn)).toBe(frame.serial)
            }
          }
          // Done means that nobody who was told of a frame's removal still reaches that frame.
          for (const { by, notice, frames } of notices) {
            if (!notice.done) continue
            for (const each of held)
              if (each.by === by) for (const frame of each.saw) expect(frames.has(frame?.serial ?? -1)).toBe(false)
          }
        }

        for (const { kind, page: at, count, which: by } of operations) {
          const gfn = FIRST + at
          const cache = caches[by] as MapCache
          switch (kind) {
            case 'add':
              for (let i = 0; i < count; i++) {
                if (guest.mfn(gfn + i) >= 0) continue
                guest.ram(gfn + i)
                memory.writeU32(guest.mfn(gfn + i) * 4096, ++serial)
              }
              break
            case 'remove':
              for (let i = 0; i < count; i++) {
                if (guest.mfn(gfn + i) < 0) continue
                for (const each of untold) each.add(serialAt(guest.mfn(gfn + i)))
                guest.remove(gfn + i)
              }
              break
            case 'hold': {
              const mapping = cache.mapForWriting(gfn * 4096, count * 4096)
              const saw: Held['saw'] = Array.from({ length: count }, () => null)
              for (const segment of mapping.segments) {
                for (let offset = 0; segment.bytes !== null && offset < segment.length; offset += 4096) {
                  const view = new DataView(segment.bytes.buffer, segment.bytes.byteOffset + offset, 4)
                  const seen = view.getUint32(0, true)
                  const index = (segment.offset + offset) / 4096
                  const now = guest.mfn(gfn + index)
                  const current = now >= 0 && serialAt(now) === seen
                  // An old frame may only be seen by who has not been told yet.
                  if (!current) expect(untold[by]?.has(seen)).toBe(true)
                  let mfn = now
                  if (!current) for (mfn = 0; mfn < memory.frameCount && serialAt(mfn) !== seen; mfn++);
                  saw[index] = { mfn, serial: seen }
                }
              }
              // What is there now, and was not when last asked, is seen too.
              for (let i = 0; i < count; i++) if (guest.mfn(gfn + i) >= 0) expect(saw[i]).not.toBe(null)
              held.push({ mapping, by, saw, gfn })
              break
            }
            case 'release': {
              const oldest = held[0]
              drop((each) => each === oldest)
              break
            }
            case 'notice':
            case 'flush': {
              const from = kind === 'flush' ? 0 : gfn
              const to = kind === 'flush' ? 2 ** 30 : gfn + count
              const frames = new Set<number>()
              // Only a notice of everything says which removals it was for.
              if (kind === 'flush') for (const each of untold[by] ?? []) frames.add(each)
              const notice = cache.invalidate(from, to - from)
              if (kind === 'flush') untold[by]?.clear()
              notices.push({ by, notice, frames })
              const overlapping = held.filter(
                (each) =>
                  each.by === by && each.saw.some((frame, i) => frame && each.gfn + i >= from && each.gfn + i < to),
              )
              expect(notice.pending).toBe(overlapping.length)
              break
            }
            case 'die':
              cache.close()
              drop((each) => each.by === by)
              for (const each of notices) if (each.by === by) expect(each.notice.done).toBe(true)
              caches[by] = make()
              untold[by]?.clear()
          }
          check()
        }
        drop(() => true)
        for (const cache of caches) cache.close()
        expect(notices.every(({ notice }) => notice.done)).toBe(true)
        let ram = 0
        for (const { mfn } of guest.p2m.leaves()) {
          expect(counts.count(mfn)).toBe(1)
          ram++
        }
        expect(memory.frames.freeFrames).toBe(free - tables - ram)
      },
    ),
    { numRuns: 300, seed: 0x5eed },
  )
})
