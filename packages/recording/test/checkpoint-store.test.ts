/** Checkpoints in memory: what is the same is kept once, and there is a limit for all of them. */
import { describe, expect, test } from 'vitest'
import { CheckpointStore, openRecording, type PageContents, RecordingWriter } from '../src/index.ts'

const page = (value: number): Uint8Array => new Uint8Array(4096).fill(value)
const at = (instructions: number) => ({ round: instructions / 10, instructions })

/** A store beside a plain model of it: all pages at each instant. */
function filled(mostBytes?: number, count = 12) {
  const store = new CheckpointStore<number>(mostBytes)
  const model: { instructions: number; pages: Map<number, Uint8Array> }[] = []
  let pages = new Map<number, Uint8Array>()
  for (let i = 0; i < count; i++) {
    const written = new Map<number, PageContents>()
    for (let gfn = 0; gfn < 20; gfn++) {
      if (i > 0 && (gfn * 7 + i * 3) % 5 !== 0) continue
      // Some are written with what they had, some become zeros.
      const isSame = i > 0 && (gfn + i) % 4 === 0
      written.set(gfn, isSame ? store.latest(gfn) : (gfn + i) % 7 === 0 ? null : page(1 + ((gfn + i) % 250)))
    }
    store.add(at(i * 100), { i, fixed: new Uint8Array(9000).fill(3), own: page(i) }, written, i)
    pages = new Map(pages)
    for (const [gfn, contents] of written)
      if (contents === null) pages.delete(gfn)
      else pages.set(gfn, contents)
    model.push({ instructions: i * 100, pages })
  }
  return { store, model }
}

function pagesOf(store: CheckpointStore<number>, number: number): Map<number, Uint8Array> {
  const stored = store.read(number)
  return new Map([...stored.gfns].map((gfn, i) => [gfn, stored.contents(i).slice()]))
}

describe('checkpoints in memory', () => {
  test('each has its state and all of its memory', () => {
    const { store, model } = filled()
    expect(store.instants.map(({ instructions }) => instructions)).toEqual(
      model.map(({ instructions }) => instructions),
    )
    for (const [i, { pages }] of model.entries()) {
      expect(pagesOf(store, i)).toEqual(new Map([...pages].toSorted(([a], [b]) => a - b)))
      expect(store.read(i)).toMatchObject({ extra: i, state: { i, own: page(i) } })
    }
    expect([store.nearest(99), store.nearest(100), store.nearest(-1), store.nearest(1e9)]).toEqual([0, 1, -1, 11])
  })

  test.each([0, 1, 2])('number %i of three gives all of its bytes back, those of its extra too', (number) => {
    const add = (store: CheckpointStore<null>, i: number): void =>
      store.add(at(10 * i), { i, own: page(i) }, new Map([[i, page(100 + i)]]), null, 1000 * (i + 1))
    const store = new CheckpointStore<null>()
    for (let i = 0; i < 3; i++) add(store, i)
    const all = store.bytes
    // The first one has nothing before it, and the last one stays: one in between is dropped first.
    store.thin(all - 1)
    expect(store.instants.map(({ instructions }) => instructions)).toEqual([0, 20])
    // Its page is the next one's now.
    const text = 2 * '{"i":1,"own":{"$bytes":[0,4096]}}'.length
    expect(all - store.bytes).toBeGreaterThan(4096 + 2000)
    expect(all - store.bytes).toBeLessThan(4096 + 2000 + 2 * text)
    store.thin(0)
    expect([store.bytes, store.instants]).toEqual([0, []])
    add(store, number)
    expect(store.bytes).toBeGreaterThan(2 * 4096 + 1000 * (number + 1))
  })

  test('what does not change is there once', () => {
    const store = new CheckpointStore<null>()
    const state = { bytes: new Uint8Array(1 << 20).fill(7) }
    store.add(at(0), state, new Map([[5, page(1)]]), null)
    const first = store.bytes
    expect(first).toBeGreaterThan((1 << 20) + 4096)
    store.add(at(10), state, new Map([[5, store.latest(5)]]), null)
    expect(store.bytes - first).toBeLessThan(1000)
    expect(store.wasWritten(1, 5)).toBe(true)
    expect(store.wasWritten(1, 6)).toBe(false)
  })

  test.each([150_000, 100_000, 70_000])(
    'with %i bytes some are dropped, and the others stay what they were',
    (most) => {
      const { store, model } = filled(most, 30)
      expect(store.bytes).toBeLessThanOrEqual(most)
      const { instants } = store
      expect(instants.length).toBeGreaterThan(0)
      expect(instants.length).toBeLessThan(30)
      expect(instants.at(-1)!.instructions).toBe(2900)
      for (const [number, { instructions }] of instants.entries()) {
        const { pages } = model[instructions / 100]!
        expect(pagesOf(store, number)).toEqual(new Map([...pages].toSorted(([a], [b]) => a - b)))
        const from = number === 0 ? -1 : instants[number - 1]!.instructions / 100
        for (let gfn = 0; gfn < 20; gfn++) {
          let wasWritten = false
          for (let i = from + 1; i <= instructions / 100; i++) wasWritten ||= i === 0 || (gfn * 7 + i * 3) % 5 === 0
          expect(store.wasWritten(number, gfn)).toBe(wasWritten)
        }
      }
      const distances = instants.slice(1).map(({ instructions }, i) => instructions - instants[i]!.instructions)
      if (distances.length > 3) expect(distances.at(-1)!).toBeLessThanOrEqual(distances[1]!)
      store.thin(0, 1)
      expect(store.instants).toHaveLength(1)
      expect(pagesOf(store, 0)).toEqual(new Map([...model[29]!.pages].toSorted(([a], [b]) => a - b)))
      store.thin(0)
      expect([store.instants.length, store.bytes]).toEqual([0, 0])
    },
  )

  test('a file has them with the last one first, and each as it was', async () => {
    const { store, model } = filled()
    const pieces: Uint8Array[] = []
    const writer = new RecordingWriter((bytes) => pieces.push(bytes.slice()), null)
    writer.add('input', at(500), 0, page(1))
    for (const [instant, checkpoint] of store.fromLast((state, extra) => ({ ...(state as object), extra })))
      writer.checkpoint(instant, checkpoint)
    await writer.end(at(1100))
    const file = Uint8Array.from(pieces.flatMap((piece) => [...piece]))
    const recording = await openRecording({
      bytes: file.length,
      read: (from, count) => file.subarray(from, from + count),
    })
    expect(recording.checkpoints.map(({ instructions }) => instructions)).toEqual(
      model.map(({ instructions }) => instructions).toReversed(),
    )
    expect(recording.end.instructions).toBe(1100)
    for (const [number, { pages, instructions }] of model.toReversed().entries()) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { state, pages: read } = await recording.checkpoint(number)
      expect(state).toMatchObject({ i: instructions / 100, extra: instructions / 100 })
      expect([...read.gfns]).toEqual([...pages.keys()].toSorted((a, b) => a - b))
      for (const [i, gfn] of read.gfns.entries())
        expect(read.bytes.subarray(4096 * i, 4096 * (i + 1))).toEqual(pages.get(gfn))
      // oxlint-disable-next-line no-await-in-loop
      const written = await recording.written(number)
      expect([...written!].every((gfn) => store.wasWritten(11 - number, gfn))).toBe(true)
    }
    const loaded = new CheckpointStore<number>()
    await recording.loadCheckpoints(loaded, (state, number) => ({ state, extra: number }))
    expect(loaded.instants).toEqual(store.instants)
    for (const [i, { pages }] of model.entries()) {
      expect(pagesOf(loaded, i)).toEqual(new Map([...pages].toSorted(([a], [b]) => a - b)))
      expect(loaded.read(i)).toMatchObject({ extra: 11 - i, state: { i, own: page(i) } })
      // The file is asked for it.
      expect(loaded.wasWritten(i, 99)).toBe(true)
    }
    await expect(
      recording.loadCheckpoints(new CheckpointStore(), (state) => ({ state, extra: 0 }), 3),
    ).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
  })

  test('a file that has more than there is room for is read no further, and not into memory', async () => {
    const [store, written] = [new CheckpointStore<null>(), new Map<number, PageContents>()]
    for (let i = 0; i < 40; i++) {
      for (let gfn = 0; gfn < 10; gfn++) written.set(gfn, page(i + gfn))
      store.add(at(10 * i), { large: new Uint8Array(64 * 4096).fill(1), own: page(i) }, new Map(written), null)
    }
    const pieces: Uint8Array[] = []
    const writer = new RecordingWriter((bytes) => pieces.push(bytes.slice()), null)
    for (const [instant, checkpoint] of store.fromLast((state) => state)) writer.checkpoint(instant, checkpoint)
    await writer.end(at(400))
    const file = new Uint8Array(Buffer.concat(pieces))
    let read = 0
    const recording = await openRecording({
      bytes: file.length,
      read: (from, count) => ((read += count), file.subarray(from, from + count)),
    })
    const bytesFor = async (mostBytes: number): Promise<[bytes: number, instants: number[]]> => {
      const loaded = new CheckpointStore<null>(mostBytes)
      read = 0
      await recording.loadCheckpoints(loaded, (state) => ({ state, extra: null }))
      return [read, loaded.instants.map(({ instructions }) => instructions)]
    }
    const [all, instants] = await bytesFor(2 ** 22)
    // What all states have is counted once.
    expect(instants).toEqual(store.instants.map(({ instructions }) => instructions))
    const [some, last] = await bytesFor(400_000)
    expect(some).toBeLessThan(all / 2)
    expect([last.length > 0, last.at(-1)]).toEqual([true, 390])
  })

  test('a file has what differs of a page, which becomes smaller than the page', async () => {
    const random = Uint8Array.from({ length: 4096 }, (_, i) => (i * i * 7919) >>> 5)
    const bytesWith = async (changed: (i: number) => Uint8Array): Promise<number> => {
      const store = new CheckpointStore<null>()
      for (let i = 0; i < 20; i++) store.add(at(10 * i), i, new Map([[7, changed(i)]]), null)
      let bytes = 0
      const writer = new RecordingWriter((piece) => void (bytes += piece.length), null)
      for (const [instant, checkpoint] of store.fromLast((state) => state)) writer.checkpoint(instant, checkpoint)
      await writer.end(at(200))
      return bytes
    }
    const little = await bytesWith((i) => random.with(100, i))
    const other = await bytesWith((i) => random.map((byte) => (byte * (2 * i + 1)) ^ i))
    expect(other - little).toBeGreaterThan(15 * 1000)
  })
})

test('of pages that were only compared it is not known whether they were written', () => {
  const store = new CheckpointStore<null>(Infinity)
  for (const [i, isCompared] of [false, false, true, false].entries())
    store.add(at(10 * i), i, new Map([[i, page(100 + i)]]), null, 0, isCompared)
  const written = (number: number): boolean[] => [0, 1, 2, 3].map((gfn) => store.wasWritten(number, gfn))
  expect(written(1)).toEqual([false, true, false, false])
  expect(written(2)).toEqual([true, true, true, true])
  expect(written(3)).toEqual([false, false, false, true])
})
