import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { INVALID_MFN, isRam, P2m, P2mEntry, P2mType, type P2mError } from '../src/index.ts'

/** What a frame is, the plain way. */
interface Frame {
  readonly mfn: number
  readonly type: number
}

const HOLE: Frame = { mfn: INVALID_MFN, type: P2mType.MMIO_DM }

/** The map as the list of everything that was ever done; later entries hide earlier ones. */
class Model {
  readonly #layers: { gfn: number; count: number; frameOf: (gfn: number, below: Frame) => Frame }[] = []

  put(gfn: number, count: number, frameOf: (gfn: number, below: Frame) => Frame): void {
    this.#layers.push({ gfn, count, frameOf })
  }

  at(gfn: number, layers = this.#layers.length): Frame {
    for (let i = layers - 1; i >= 0; i--) {
      const layer = this.#layers[i]
      if (layer === undefined || gfn < layer.gfn || gfn >= layer.gfn + layer.count) continue
      return layer.frameOf(gfn, this.at(gfn, i))
    }
    return HOLE
  }

  /** Frames next to any boundary that there has been. */
  interesting(): number[] {
    const edges = this.#layers.flatMap(({ gfn, count }) => [
      gfn - 1,
      gfn,
      gfn + (count >> 1),
      gfn + count - 1,
      gfn + count,
    ])
    return [...new Set(edges.filter((gfn) => gfn >= 0))]
  }
}

const memory = MachineMemory.create({ bytes: 2304 * 2 ** 20 })

const base = fc.constantFrom(0, 0x200, 0x3_fe00, 0x4_0000, 0x7_fe00, 0x10_0000, 2 ** 35)
const gfn = fc.tuple(base, fc.constantFrom(0, 0, 1, 0x1ff, 0x200, 0x210)).map(([a, b]) => a + b)
const mfn = fc
  .tuple(fc.constantFrom(0x200, 0x400, 0x4_0000, 0x4_0200), fc.constantFrom(0, 0, 0, 1, 0x10, 0x1ff))
  .map(([a, b]) => a + b)
const count = fc.constantFrom(1, 1, 2, 0x1ff, 0x200, 0x201, 0x400, 0x4_0000)
const ram = fc.constantFrom(P2mType.RAM_RW, P2mType.RAM_RO, P2mType.RAM_LOGDIRTY)
const hole = fc.constantFrom(P2mType.MMIO_DM, P2mType.INVALID)

const operation = fc.oneof(
  fc.record({ kind: fc.constant('ram' as const), gfn, mfn, count, type: ram }),
  fc.record({ kind: fc.constant('hole' as const), gfn, mfn, count, type: hole }),
  fc.record({ kind: fc.constant('remove' as const), gfn, mfn, count, type: hole }),
  fc.record({ kind: fc.constant('type' as const), gfn, mfn, count, type: ram }),
  fc.record({ kind: fc.constant('shatter' as const), gfn, mfn, count, type: ram }),
  fc.record({ kind: fc.constant('coalesce' as const), gfn, mfn, count, type: ram }),
)

test('any sequence of changes maps and releases what a plain list of them says', () => {
  const entry = new P2mEntry()
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 12 }), (operations) => {
      const free = memory.frames.freeFrames
      const p2m = P2m.create(memory)
      const model = new Model()
      let released: { gfn: number; mfn: number; count: number }[] = []
      p2m.onRelease((at, frame, order) => released.push({ gfn: at, mfn: frame, count: 2 ** order }))
      for (const each of operations) {
        released = []
        const sampled = [...model.interesting(), each.gfn, each.gfn + each.count - 1]
        const before = new Map(sampled.map((at) => [at, model.at(at)]))
        const start = before.get(each.gfn) as Frame
        switch (each.kind) {
          case 'ram':
            p2m.insertRange(each.gfn, each.mfn, each.count, each.type)
            model.put(each.gfn, each.count, (at) => ({ mfn: each.mfn + at - each.gfn, type: each.type }))
            break
          case 'hole':
            p2m.insertRange(each.gfn, INVALID_MFN, each.count, each.type)
            model.put(each.gfn, each.count, () => ({ mfn: INVALID_MFN, type: each.type }))
            break
          case 'remove':
            try {
              p2m.remove(each.gfn, start.mfn, each.count)
            } catch (error) {
              expect([(error as P2mError).code, released]).toEqual(['ERR_MISMATCH', []])
              expect(each.count).toBeGreaterThan(1)
              break
            }
            model.put(each.gfn, each.count, () => HOLE)
            break
          case 'type':
            p2m.setType(each.gfn, each.count, each.type)
            model.put(each.gfn, each.count, (_, below) => (isRam(below.type) ? { ...below, type: each.type } : below))
            break
          case 'shatter':
            p2m.shatter(each.gfn, each.count >= 0x200 ? 9 : 0)
            break
          case 'coalesce':
            p2m.coalesce(each.gfn, each.count)
        }
        for (const at of new Set([...sampled, ...model.interesting()])) {
          const now = model.at(at)
          expect([p2m.lookup(at, entry), entry.mfn]).toEqual([now.type, now.mfn])
          const ma = isRam(now.type) ? now.mfn * 4096 + 7 : -1
          expect(p2m.translate(at * 4096 + 7)).toBe(ma)
          expect(p2m.translateWrite(at * 4096 + 7)).toBe(now.type === P2mType.RAM_RW ? ma : -1)
          const was = before.get(at)
          if (was === undefined) continue
          const gone = isRam(was.type) && was.mfn !== now.mfn
          const reports = released.filter((run) => at >= run.gfn && at < run.gfn + run.count)
          expect(reports.map((run) => run.mfn + at - run.gfn)).toEqual(gone ? [was.mfn] : [])
        }
      }
      p2m.destroy()
      expect(memory.frames.freeFrames).toBe(free)
    }),
    { numRuns: slicedCount(400, 4) },
  )
}, 120_000)
