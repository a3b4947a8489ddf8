/** Pages that are kept once, beside a model that keeps each. */
import { numbers } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { PAGES_A_BLOCK, PageStore, ZEROS } from '../src/page-store.ts'

/** A page of one of `kinds` contents. */
function pageOf(kind: number): Uint8Array {
  const below = numbers(kind)
  return kind === 0 ? new Uint8Array(4096) : new Uint8Array(4096).map((_, i) => (i < 600 ? below(256) : kind))
}

test('each is what it was, as long as it is used, and is there once', () => {
  const below = numbers(1)
  const store = new PageStore()
  /** By number: what it is, and how often it is used. */
  const model = new Map<number, { kind: number; uses: number; identity: number }>()
  const byKind = new Map<number, number>()
  const identities = new Map<number, number>()
  const released: number[] = []
  for (let step = 0; step < 16_000; step++) {
    // More are added than taken back for a while, and then the other way round.
    const isAdding = below(10) < (Math.floor(step / 2000) % 2 === 0 ? 8 : 1)
    if (isAdding) {
      const kind = below(600)
      const page = store.add(pageOf(kind), 0)
      expect(page).toBe(kind === 0 ? ZEROS : (byKind.get(kind) ?? page))
      if (page === ZEROS) continue
      const known = model.get(page)
      if (known === undefined) {
        const identity = store.identity(page)
        expect(identities.get(identity) ?? step).toBe(step)
        identities.set(identity, step)
        model.set(page, { kind, uses: 1, identity })
        byKind.set(kind, page)
      } else {
        expect([known.kind, store.identity(page)]).toEqual([kind, known.identity])
        known.uses++
      }
    } else if (model.size > 0) {
      const page = [...model.keys()][below(model.size)]!
      const known = model.get(page)!
      if (below(8) === 0) {
        store.use(page)
        known.uses++
        continue
      }
      store.release(page)
      if (--known.uses > 0) continue
      model.delete(page)
      byKind.delete(known.kind)
      released.push(page)
      expect(store.identity(page)).not.toBe(known.identity)
    }
    if (step % 500 === 0)
      for (const [page, { kind }] of model) expect(Buffer.compare(store.contents(page), pageOf(kind))).toBe(0)
  }
  expect(released.length).toBeGreaterThan(1000)
  const { blocks, numberOf } = store.blocks()
  const places = new Set([...model.keys()].map(numberOf))
  expect(places.size).toBe(model.size)
  expect(Math.max(...places)).toBeLessThan(blocks.length * PAGES_A_BLOCK)
  // Blocks are at least half full, but for the last one.
  expect(blocks.length).toBeLessThanOrEqual(2 + (2 * model.size) / PAGES_A_BLOCK)
  for (const [page, { uses }] of model) for (let i = 0; i < uses; i++) store.release(page)
  expect(store.bytes).toBe(0)
  expect(store.contents(ZEROS)).toEqual(new Uint8Array(4096))
})
