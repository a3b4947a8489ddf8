/** Checkpoints in memory and in files: what is the same is kept once, and there is a limit for all of them. */
import { describe, expect, test } from 'vitest'
import { CheckpointStore, openRecording, RecordingWriter } from '../src/index.ts'

/** A page that compresses to about 1 KB. */
const page = (value: number): Uint8Array =>
  new Uint8Array(4096).map((_, i) => (i < 1000 ? Math.imul(i + 1, 0x9e37_79b1 ^ (value * 0x85eb_ca6b)) >>> 11 : value))
const at = (instructions: number) => ({ round: instructions / 10, instructions })

type Written = ReadonlyMap<number, Uint8Array | null>

function add<T>(
  store: CheckpointStore<T>,
  instructions: number,
  state: unknown,
  written: Written,
  extra: T,
  extraBytes = 0,
  isCompared = false,
): void {
  const memory = store.draft()
  for (const [gfn, contents] of written) memory.add(gfn, contents ?? new Uint8Array(), contents === null ? -1 : 0)
  store.add(at(instructions), state, memory, extra, extraBytes, isCompared)
}

/** A store beside a plain model of it: all pages at each instant. */
function filled(mostBytes?: number, count = 12) {
  const store = new CheckpointStore<number>(mostBytes)
  const model: { instructions: number; pages: Map<number, Uint8Array> }[] = []
  let pages = new Map<number, Uint8Array>()
  for (let i = 0; i < count; i++) {
    const written = new Map<number, Uint8Array | null>()
    // In no order.
    for (let n = 0; n < 20; n++) {
      const gfn = (n * 13) % 20
      if (i > 0 && (gfn * 7 + i * 3) % 5 !== 0) continue
      // Some are written with what they had, some become zeros.
      const isSame = i > 0 && (gfn + i) % 4 === 0
      const zeros = (gfn + i) % 7 === 0 ? null : page(1 + ((gfn + i) % 250))
      written.set(gfn, isSame ? (pages.get(gfn) ?? null) : zeros)
    }
    add(store, i * 100, { i, fixed: new Uint8Array(9000).fill(3), own: page(i) }, written, i)
    pages = new Map(pages)
    for (const [gfn, contents] of written)
      if (contents === null) pages.delete(gfn)
      else pages.set(gfn, contents)
    model.push({ instructions: i * 100, pages })
  }
  return { store, model }
}

interface Pages {
  readonly gfns: Uint32Array
  contents(index: number): Uint8Array
}

const pagesOf = ({ gfns, ...of }: Pages): [number, Uint8Array][] =>
  [...gfns].map((gfn, i) => [gfn, of.contents(i).slice()])
const inOrder = (pages: ReadonlyMap<number, Uint8Array>): [number, Uint8Array][] =>
  [...pages].toSorted(([a], [b]) => a - b)

describe('checkpoints in memory', () => {
  test('each has its state and all of its memory', () => {
    const { store, model } = filled()
    expect(store.instants.map(({ instructions }) => instructions)).toEqual(
      model.map(({ instructions }) => instructions),
    )
    for (const [i, { pages }] of model.entries()) {
      expect(pagesOf(store.read(i))).toEqual(inOrder(pages))
      expect(store.read(i)).toMatchObject({ extra: i, state: { i, own: page(i) } })
    }
    expect([store.nearest(99), store.nearest(100), store.nearest(-1), store.nearest(1e9)]).toEqual([0, 1, -1, 11])
    for (let gfn = 0; gfn < 20; gfn++) expect(store.wasZeros(gfn)).toBe(!model[11]!.pages.has(gfn))
  })

  test('pages of two checkpoints have one identity where they are the same', () => {
    const { store } = filled()
    const [one, other] = [store.read(3), store.read(9)]
    expect(one.source).toBe(other.source)
    expect(one.source).not.toBe(filled().store.read(3).source)
    for (let i = 0; i < one.gfns.length; i++)
      for (let j = 0; j < other.gfns.length; j++)
        expect(one.identity(i) === other.identity(j)).toBe(Buffer.compare(one.contents(i), other.contents(j)) === 0)
  })

  test.each([0, 1, 2])('number %i of three gives all of its bytes back, those of its extra too', (number) => {
    const put = (store: CheckpointStore<null>, i: number): void =>
      add(store, 10 * i, { i, own: page(i) }, new Map([[i, page(100 + i)]]), null, 1000 * (i + 1))
    const store = new CheckpointStore<null>()
    const none = store.bytes
    for (let i = 0; i < 3; i++) put(store, i)
    const all = store.bytes
    // The first one has nothing before it, and the last one stays: one in between is dropped first.
    store.thin(all - 1)
    expect(store.instants.map(({ instructions }) => instructions)).toEqual([0, 20])
    // Its page is the next one's now.
    const text = 2 * '{"i":1,"own":{"$bytes":[0,4096]}}'.length
    expect(all - store.bytes).toBeGreaterThan(2000)
    expect(all - store.bytes).toBeLessThan(2000 + 2 * text + 32)
    store.thin(0)
    expect([store.bytes, store.instants]).toEqual([none, []])
    put(store, number)
    expect(store.bytes).toBeGreaterThan(1000 * (number + 1))
  })

  test('what does not change is there once', () => {
    const store = new CheckpointStore<null>()
    const random = (value: number): Uint8Array => new Uint8Array(1 << 20).map((_, i) => Math.imul(i, value) >>> 13)
    const state = { bytes: random(0x9e37_79b1) }
    const written = new Map(Array.from({ length: 64 }, (_, i) => [i, random(0x85eb_ca6b).subarray(4096 * i)]))
    add(store, 0, state, written, null)
    const first = store.bytes
    expect(first).toBeGreaterThan(100_000)
    add(store, 10, state, written, null)
    expect(store.bytes - first).toBeLessThan(1000)
    expect(store.wasWritten(1, 5)).toBe(true)
    expect(store.wasWritten(1, 64)).toBe(false)
    // Frames that are compared, and have not changed, are left out.
    const memory = store.draft()
    for (const [gfn, contents] of written) memory.add(gfn, contents, 0, true)
    store.add(at(20), state, memory, null, 0, true)
    expect(store.bytes - first).toBeLessThan(1000)
    expect(pagesOf(store.read(2)).length).toBe(64)
  })

  test('a checkpoint that is dropped while somebody reads it gives no other contents', () => {
    const { store } = filled()
    const before = store.read(5)
    store.thin(0, 1)
    for (let i = 0; i < 400; i++) add(store, 10_000 + i, i, new Map([[i % 40, page(i)]]), 0)
    let isRefused = false
    for (let i = 0; i < before.gfns.length; i++) {
      const found = ((): Uint8Array | string => {
        try {
          return before.contents(i)
        } catch (error) {
          return (error as { code: string }).code
        }
      })()
      if (typeof found === 'string') expect(found).toBe('ERR_STATE')
      else expect(Buffer.compare(found, filled().store.read(5).contents(i))).toBe(0)
      isRefused ||= typeof found === 'string'
    }
    expect(isRefused).toBe(true)
  })

  test('a draft that is discarded leaves nothing, and one without room is refused', () => {
    const store = new CheckpointStore<null>(300_000)
    add(store, 0, 0, new Map([[1, page(1)]]), null)
    const before = store.bytes
    const memory = store.draft()
    for (let i = 0; i < 20; i++) memory.add(i, page(50 + i), 0)
    memory.discard()
    expect(store.bytes).toBe(before)
    const large = store.draft()
    const fill = (): void => {
      const random = new Uint8Array(4096)
      for (let gfn = 0; gfn < 200; gfn++) {
        for (let i = 0; i < 4096; i++) random[i] = Math.imul(i + 4096 * gfn + 1, 0x9e37_79b1) >>> 17
        for (let i = 0; i < 4096; i += 4) random[i] = Math.imul(gfn + 1, i * i + 7) >>> 3
        large.add(gfn, random, 0)
      }
    }
    expect(fill).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
    large.discard()
    expect(store.bytes).toBe(before)
  })

  test('a draft of a store that was cleared meanwhile is refused', () => {
    const store = new CheckpointStore<null>()
    const memory = store.draft()
    memory.add(1, page(1), 0)
    store.clear()
    add(store, 0, 0, new Map([[1, page(2)]]), null)
    expect([...store.latestFrames()]).toEqual([1])
    expect(() => store.add(at(10), 0, memory, null)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
    expect(store.instants).toHaveLength(1)
  })

  test.each([35_000, 31_000, 28_000])('with %i bytes some are dropped, and the others stay what they were', (most) => {
    const { store, model } = filled(most, 30)
    expect(store.bytes).toBeLessThanOrEqual(most)
    const { instants } = store
    expect(instants.length).toBeGreaterThan(0)
    expect(instants.length).toBeLessThan(30)
    expect(instants.at(-1)!.instructions).toBe(2900)
    for (const [number, { instructions }] of instants.entries()) {
      const { pages } = model[instructions / 100]!
      expect(pagesOf(store.read(number))).toEqual(inOrder(pages))
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
    expect(pagesOf(store.read(0))).toEqual(inOrder(model[29]!.pages))
    store.thin(0)
    expect(store.instants.length).toBe(0)
    expect(store.bytes).toBe(new CheckpointStore().bytes)
  })
})

/** A file of the checkpoints of a store. */
async function fileOf<T>(store: CheckpointStore<T>, stateOf?: (state: unknown, extra: T) => unknown) {
  const pieces: Uint8Array[] = []
  const writer = new RecordingWriter((bytes) => pieces.push(bytes.slice()), null)
  writer.add('input', at(500), 0, page(1))
  await writer.addCheckpoints(store, stateOf)
  await expect(writer.addCheckpoints(store)).rejects.toMatchObject({ code: 'ERR_STATE' })
  await writer.end(at(1100))
  const file = new Uint8Array(Buffer.concat(pieces))
  let read = 0
  const recording = await openRecording({
    bytes: file.length,
    read: (from, count) => ((read += count), file.subarray(from, from + count)),
  })
  return { file, recording, bytesRead: () => read }
}

describe('checkpoints in a file', () => {
  test.each([undefined, 31_000])('each is as it was, also where some were dropped: %s bytes', async (most) => {
    const { store, model } = filled(most, 30)
    const { recording } = await fileOf(store, (state, extra) => ({ ...(state as object), extra }))
    expect(recording.checkpoints).toEqual(store.instants)
    expect(recording.end.instructions).toBe(1100)
    for (const [number, { instructions }] of store.instants.entries()) {
      const i = instructions / 100
      const found = await recording.checkpoint(number)
      expect(found.state).toMatchObject({ i, extra: i, own: page(i) })
      expect(pagesOf(found)).toEqual(inOrder(model[i]!.pages))
      for (let gfn = 0; gfn < 21; gfn++)
        expect(await recording.wasWritten(number, [100, gfn])).toBe(store.wasWritten(number, gfn))
    }
    const [one, other] = [await recording.checkpoint(0), await recording.checkpoint(2)]
    expect(one.source).toBe(other.source)
    for (let i = 0; i < one.gfns.length; i++)
      for (let j = 0; j < other.gfns.length; j++)
        expect(one.identity(i) === other.identity(j)).toBe(Buffer.compare(one.contents(i), other.contents(j)) === 0)
  })

  test('a checkpoint is read without the pages of others, and once', async () => {
    const store = new CheckpointStore<null>()
    const random = (i: number): Uint8Array =>
      new Uint8Array(4096).map((_, j) => Math.imul(j + 1, i * 0x9e37_79b1) >>> 9)
    for (let i = 0; i < 20; i++) {
      const own = Array.from({ length: 32 }, (_, n): [number, Uint8Array] => [n, random(1 + 32 * i + n)])
      add(store, 10 * i, i, new Map(own), null)
    }
    const { file, recording, bytesRead } = await fileOf(store)
    const opened = bytesRead()
    const last = await recording.checkpoint(19)
    expect(pagesOf(last).map(([, contents]) => contents)).toEqual(Array.from({ length: 32 }, (_, n) => random(609 + n)))
    expect(bytesRead() - opened).toBeLessThan(file.length / 4)
    const before = bytesRead()
    await recording.checkpoint(19)
    expect(bytesRead() - before).toBeLessThan(200)
  })
})

test('of pages that were only compared it is not known whether they were written', async () => {
  const store = new CheckpointStore<null>(Infinity)
  for (const [i, isCompared] of [false, false, true, false].entries())
    add(store, 10 * i, i, new Map([[i, page(100 + i)]]), null, 0, isCompared)
  const written = (number: number): boolean[] => [0, 1, 2, 3].map((gfn) => store.wasWritten(number, gfn))
  expect(written(1)).toEqual([false, true, false, false])
  expect(written(2)).toEqual([true, true, true, true])
  expect(written(3)).toEqual([false, false, false, true])
  const { recording } = await fileOf(store)
  expect(await Promise.all([1, 2, 3].map((number) => recording.wasWritten(number, [0])))).toEqual([false, true, false])
})
