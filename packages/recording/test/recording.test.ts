import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import {
  CheckpointStore,
  type EventKind,
  openRecording,
  type RecordedEvent,
  RecordingError,
  RecordingWriter,
} from '../src/index.ts'

const sourceOf = (file: Uint8Array) => ({
  bytes: file.length,
  read: (offset: number, bytes: number) => file.subarray(offset, offset + bytes),
})

const page = (value: number): Uint8Array => new Uint8Array(4096).fill(value)

interface Written {
  readonly file: Uint8Array
  readonly events: readonly RecordedEvent[]
}

/** A recording of `count` events, with a mark and three checkpoints. */
async function written(count = 2000, ended = true): Promise<Written> {
  const pieces: Uint8Array[] = []
  const writer = new RecordingWriter((bytes) => void pieces.push(bytes.slice()), { machine: 'test' })
  const events: RecordedEvent[] = []
  let [round, instructions] = [0, 0]
  for (let i = 0; i < count; i++) {
    round += i % 3
    instructions += (i % 3) * 2 ** (i % 40)
    const kind = (['input', 'answer', 'check'] as const)[i % 3]!
    const event = {
      kind,
      round,
      instructions,
      source: i % 300,
      data: Uint8Array.from({ length: i % 700 }, (_, j) => i * j),
    }
    writer.add(kind, event, event.source, event.data)
    events.push(event)
    if (i === 1000) writer.mark(event, 'middle')
    const pages = (...gfns: [gfn: number, value: number][]) => ({
      gfns: Uint32Array.from(gfns, ([gfn]) => gfn),
      bytes: Uint8Array.from(gfns.flatMap(([, value]) => [...page(value)])),
    })
    if (i === 500) writer.checkpoint(event, { state: { at: i }, pages: pages([1, 1], [2, 2], [3, 3]) })
    if (i === 1200) writer.checkpoint(event, { state: { at: i }, pages: pages([2, 9]), cleared: Uint32Array.of(3) })
    if (i === 1600)
      writer.checkpoint(event, { state: { at: i }, pages: pages([3, 7], [5, 5]), cleared: Uint32Array.of(1) })
  }
  writer.flush()
  await (ended ? writer.end() : writer.settled())
  return { file: new Uint8Array(Buffer.concat(pieces)), events }
}

async function eventsOf(file: Uint8Array): Promise<RecordedEvent[]> {
  const recording = await openRecording(sourceOf(file))
  const pieces = await Promise.all(Array.from({ length: recording.pieces }, (_, piece) => recording.events(piece)))
  return pieces.flat().filter(({ kind }) => kind !== 'mark')
}

test('events are read as they were written', async () => {
  const { file, events } = await written()
  expect(await eventsOf(file)).toEqual(events)
  const recording = await openRecording(sourceOf(file))
  expect(recording.isCut).toBe(false)
  expect(recording.description).toEqual({ machine: 'test' })
  expect(recording.end.instructions).toBe(events.at(-1)!.instructions)
  expect(recording.marks).toEqual([
    { name: 'middle', round: events[1000]!.round, instructions: events[1000]!.instructions },
  ])
})

test('a piece of the log is found by its round', async () => {
  const { file, events } = await written()
  const recording = await openRecording(sourceOf(file))
  for (const { round } of events.filter((_, i) => i % 97 === 0)) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const before = await recording.events(recording.pieceAt(round))
    expect(before[0]!.round).toBeLessThanOrEqual(round)
    // oxlint-disable-next-line no-await-in-loop
    const rest = await Promise.all(
      Array.from({ length: recording.pieces - recording.pieceAt(round) }, (_, i) =>
        recording.events(recording.pieceAt(round) + i),
      ),
    )
    expect(rest.flat().filter((event) => event.round >= round && event.kind !== 'mark').length).toBe(
      events.filter((event) => event.round >= round).length,
    )
  }
})

test('a checkpoint has all of memory, whatever it was written as', async () => {
  const { file } = await written()
  const recording = await openRecording(sourceOf(file))
  expect(recording.checkpoints.length).toBe(3)
  const memory = async (number: number): Promise<Record<number, number>> => {
    const { pages } = await recording.checkpoint(number)
    return Object.fromEntries([...pages.gfns].map((gfn, i) => [gfn, pages.bytes[4096 * i + 4095]!]))
  }
  expect(await memory(0)).toEqual({ 1: 1, 2: 2, 3: 3 })
  expect(await memory(1)).toEqual({ 1: 1, 2: 9 })
  expect(await memory(2)).toEqual({ 2: 9, 3: 7, 5: 5 })
  expect((await recording.checkpoint(1)).state).toEqual({ at: 1200 })
  await expect(recording.checkpoint(3)).rejects.toMatchObject({ code: 'ERR_STATE' })
})

test('a checkpoint that clears more pages than there are is damaged', async () => {
  const pieces: Uint8Array[] = []
  const writer = new RecordingWriter((bytes) => pieces.push(bytes.slice()), null)
  const pages = { gfns: Uint32Array.of(), bytes: new Uint8Array() }
  writer.checkpoint({ round: 2, instructions: 2 }, { state: {}, pages })
  const cleared = Uint32Array.from({ length: 100 }, (_, i) => i)
  writer.checkpoint({ round: 1, instructions: 1 }, { state: {}, pages, cleared })
  await writer.end()
  const recording = await openRecording(sourceOf(new Uint8Array(Buffer.concat(pieces))))
  expect((await recording.checkpoint(1, 100)).pages.gfns.length).toBe(0)
  await expect(recording.checkpoint(1, 99)).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})

test('a file of the first format is read', async () => {
  const { file, events } = await written()
  file[8] = 1
  expect(await eventsOf(file)).toEqual(events)
  const { pages } = await (await openRecording(sourceOf(file))).checkpoint(2)
  expect([...pages.gfns]).toEqual([2, 3, 5])
  file[8] = 0
  await expect(openRecording(sourceOf(file))).rejects.toMatchObject({ code: 'ERR_VERSION' })
})

test('checkpoints that are not in the order of a recorder are left out when all are loaded', async () => {
  const { file } = await written()
  const store = new CheckpointStore<null>()
  const recording = await openRecording(sourceOf(file))
  await recording.loadCheckpoints(store, (state) => ({ state, extra: null }))
  expect(store.instants).toEqual(recording.checkpoints.slice(0, 1))
})

test('a file that was cut anywhere has what was written before', { timeout: 30_000 }, async () => {
  const { file, events } = await written(2000)
  const whole = await openRecording(sourceOf(file))
  let last = 0
  for (let bytes = 200; bytes < file.length; bytes += 1 + Math.floor(file.length / 60)) {
    // oxlint-disable-next-line no-await-in-loop -- from short to long
    const found = await eventsOf(file.subarray(0, bytes))
    expect(found).toEqual(events.slice(0, found.length))
    expect(found.length).toBeGreaterThanOrEqual(last)
    last = found.length
    // oxlint-disable-next-line no-await-in-loop
    const cut = await openRecording(sourceOf(file.subarray(0, bytes)))
    expect(cut.isCut).toBe(true)
    expect(cut.checkpoints).toEqual(whole.checkpoints.slice(0, cut.checkpoints.length))
  }
  expect(await eventsOf(file.subarray(0, file.length - 1))).toEqual(events)
})

test('a file whose writer was stopped is read as one that was cut', async () => {
  const { file, events } = await written(1500, false)
  expect(await eventsOf(file)).toEqual(events)
})

test('a byte that is another is found, or the file is read up to there', { timeout: 60_000 }, async () => {
  const { file, events } = await written(300)
  for (let at = 0; at < file.length; at += 1 + Math.floor(file.length / 200)) {
    const other = file.slice()
    other[at]! ^= 0x40
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const found = await eventsOf(other).catch((error: unknown) => error)
    if (found instanceof Error) expect(found).toBeInstanceOf(RecordingError)
    else expect(found).toEqual(events.slice(0, (found as RecordedEvent[]).length))
  }
})

test.each<[string, Uint8Array, string]>([
  ['nothing', new Uint8Array(), 'ERR_NOT_A_RECORDING'],
  ['something else', new Uint8Array(100), 'ERR_NOT_A_RECORDING'],
  [
    'a later format',
    Uint8Array.of(0x89, 0x72, 0x65, 0x74, 0x72, 0x65, 0x63, 0x0a, 3, 0, 0, 0, 0, 0, 0, 0),
    'ERR_VERSION',
  ],
])('%s is refused', async (_what, file, code) => {
  await expect(openRecording(sourceOf(file))).rejects.toMatchObject({ code })
})

test('events in their order only, and none after the end', async () => {
  const writer = new RecordingWriter(() => undefined, null)
  const add = (kind: EventKind, round: number) =>
    writer.add(kind, { round, instructions: 10 * round }, 0, new Uint8Array())
  add('input', 5)
  expect(() => add('input', 4)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
  await writer.end()
  expect(() => add('input', 6)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
})

test('what fails to be written is told', async () => {
  const full = new Error('no space left')
  const writer = new RecordingWriter(() => Promise.reject(full), null)
  writer.mark({ round: 0, instructions: 0 }, 'a')
  await expect(writer.settled()).rejects.toBe(full)
  expect(() => writer.mark({ round: 0, instructions: 0 }, 'b')).toThrow('no space left')
  await expect(writer.end()).rejects.toBe(full)
})

/** Where the sections of a file are: their names and offsets. */
function sectionsOf(file: Uint8Array): { name: string; offset: number; stored: number }[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const found: { name: string; offset: number; stored: number }[] = []
  for (let offset = 16; offset < file.length;) {
    const stored = view.getUint32(offset + 8, true)
    found.push({ name: String.fromCharCode(...file.subarray(offset, offset + 4)), offset, stored })
    offset += 40 + stored
  }
  return found
}

/** Makes a section of a file, with sums that are right. */
function section(name: string, contents: Uint8Array): Uint8Array {
  const data = new Uint8Array(deflateRawSync(contents))
  const made = new Uint8Array(40 + data.length)
  const view = new DataView(made.buffer)
  for (let i = 0; i < 4; i++) made[i] = name.charCodeAt(i)
  view.setUint32(4, crc32(data), true)
  view.setUint32(8, data.length, true)
  view.setUint32(12, contents.length, true)
  view.setUint32(36, crc32(made.subarray(0, 36)), true)
  made.set(data, 40)
  return made
}

interface Index {
  sections: Record<string, unknown>[]
  marks: unknown[]
  end: Record<string, unknown>
}

/** The file with another index, whose sums are right. */
function withIndex(file: Uint8Array, change: (index: Index) => void): Uint8Array {
  const sections = sectionsOf(file)
  const [index, end] = [sections.at(-2)!, sections.at(-1)!]
  const data = file.subarray(index.offset + 40, index.offset + 40 + index.stored)
  const found = JSON.parse(inflateRawSync(data).toString()) as Index
  change(found)
  const made = section('INDX', new TextEncoder().encode(JSON.stringify(found)))
  return new Uint8Array(Buffer.concat([file.subarray(0, index.offset), made, file.subarray(end.offset)]))
}

test.each<[string, (index: Index) => void]>([
  ['nothing for a section', ({ sections }) => void sections.splice(0, 1, null as never)],
  ['a section without a place', ({ sections }) => void (sections[1]!['offset'] = -1)],
  ['a section behind the end', ({ sections }) => void (sections.at(-1)!['offset'] = 2 ** 40)],
  ['one section many times', ({ sections }) => void sections.push(sections.at(-1)!)],
  ['a section without an instant', ({ sections }) => void (sections[1]!['instructions'] = 'none')],
  ['an end that is no number', ({ end }) => void (end['instructions'] = '7')],
  ['an end before the beginning', ({ end }) => void (end['instructions'] = -7)],
  ['a mark without an instant', ({ marks }) => void marks.push({ name: 'a' })],
])('an index that names %s is damaged', async (_what, change) => {
  const { file } = await written()
  expect((await openRecording(sourceOf(withIndex(file, () => undefined)))).marks.length).toBe(1)
  await expect(openRecording(sourceOf(withIndex(file, change)))).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})

test('a checkpoint of more memory than its machine has is read no further', async () => {
  const { file } = await written()
  const recording = await openRecording(sourceOf(file))
  expect((await recording.checkpoint(2, 5)).pages.gfns.length).toBe(3)
  await expect(recording.checkpoint(2, 2)).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})

test('a section of more pages than are written together is not decompressed', async () => {
  const { file } = await written(600, false)
  const { offset, stored } = sectionsOf(file).find(({ name }) => name === 'PAGE')!
  const many = 257
  const pages = new Uint8Array(many * (4 + 4096))
  new Uint32Array(pages.buffer, 0, many).set(Array.from({ length: many }, (_, i) => i))
  const rest = file.subarray(offset + 40 + stored)
  const other = new Uint8Array(Buffer.concat([file.subarray(0, offset), section('PAGE', pages), rest]))
  const recording = await openRecording(sourceOf(other))
  expect(recording.checkpoints.length).toBe(1)
  await expect(recording.checkpoint(0)).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})
