import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { Codec } from '../src/codec.ts'
import * as R from '../src/index.ts'

const sourceOf = (file: Uint8Array) => ({
  bytes: file.length,
  read: (offset: number, bytes: number) => file.subarray(offset, offset + bytes),
})

const page = (value: number): Uint8Array => new Uint8Array(4096).fill(value)

interface Written {
  readonly file: Uint8Array
  readonly events: readonly R.RecordedEvent[]
}

/** Frames of three checkpoints that were written since the one before, and what they are filled with. */
const CHANGES: readonly (readonly [gfn: number, value: number][])[] = [
  [
    [1, 1],
    [2, 2],
    [3, 3],
  ],
  [
    [2, 9],
    [3, 0],
  ],
  [
    [1, 0],
    [3, 7],
    [5, 5],
  ],
]

/** A recording of `count` events, with a mark and three checkpoints. */
async function written(count = 2000, ended = true): Promise<Written> {
  const pieces: Uint8Array[] = []
  const writer = new R.RecordingWriter((bytes) => void pieces.push(bytes.slice()), { machine: 'test' })
  const events: R.RecordedEvent[] = []
  const store = new R.CheckpointStore<null>()
  const checkpointsAt = [250, 270, 290]
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
    if (checkpointsAt.includes(i)) {
      const memory = store.draft()
      for (const [gfn, value] of CHANGES[checkpointsAt.indexOf(i)]!) memory.add(gfn, page(value), value === 0 ? -1 : 0)
      store.add(event, { at: i }, memory, null)
    }
  }
  writer.flush()
  if (count > checkpointsAt.at(-1)!) await writer.addCheckpoints(store)
  await (ended ? writer.end() : writer.settled())
  return { file: new Uint8Array(Buffer.concat(pieces)), events }
}

async function eventsOf(file: Uint8Array): Promise<R.RecordedEvent[]> {
  const recording = await R.openRecording(sourceOf(file))
  const pieces = await Promise.all(Array.from({ length: recording.pieces }, (_, piece) => recording.events(piece)))
  return pieces.flat().filter(({ kind }) => kind !== 'mark')
}

test('events are read as they were written', async () => {
  const { file, events } = await written()
  expect(await eventsOf(file)).toEqual(events)
  const recording = await R.openRecording(sourceOf(file))
  expect(recording.isCut).toBe(false)
  expect(recording.description).toEqual({ machine: 'test' })
  expect(recording.end.instructions).toBe(events.at(-1)!.instructions)
  expect(recording.marks).toEqual([
    { name: 'middle', round: events[1000]!.round, instructions: events[1000]!.instructions },
  ])
})

test('a piece of the log is found by its round', async () => {
  const { file, events } = await written()
  const recording = await R.openRecording(sourceOf(file))
  for (const { round } of events.filter((_, i) => i % 97 === 0)) {
    const before = await recording.events(recording.pieceAt(round))
    expect(before[0]!.round).toBeLessThanOrEqual(round)
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

test('a checkpoint has all of memory', async () => {
  const { file } = await written()
  const recording = await R.openRecording(sourceOf(file))
  expect(recording.checkpoints.length).toBe(3)
  const memory = async (number: number): Promise<Record<number, number>> => {
    const pages = await recording.checkpoint(number)
    return Object.fromEntries([...pages.gfns].map((gfn, i) => [gfn, pages.contents(i)[4095]!]))
  }
  expect(await memory(0)).toEqual({ 1: 1, 2: 2, 3: 3 })
  expect(await memory(1)).toEqual({ 1: 1, 2: 9 })
  expect(await memory(2)).toEqual({ 2: 9, 3: 7, 5: 5 })
  expect((await recording.checkpoint(1)).state).toEqual({ at: 270 })
  await expect(recording.checkpoint(3)).rejects.toMatchObject({ code: 'ERR_STATE' })
})

test('a file that was cut anywhere has what was written before', async () => {
  const { file, events } = await written(2000)
  const whole = await R.openRecording(sourceOf(file))
  let last = 0
  for (let bytes = 200; bytes < file.length; bytes += 1 + Math.floor(file.length / 60)) {
    const found = await eventsOf(file.subarray(0, bytes))
    expect(found).toEqual(events.slice(0, found.length))
    expect(found.length).toBeGreaterThanOrEqual(last)
    last = found.length
    const cut = await R.openRecording(sourceOf(file.subarray(0, bytes)))
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
    const found = await eventsOf(other).catch((error: unknown) => error)
    if (found instanceof Error) expect(found).toBeInstanceOf(R.RecordingError)
    else expect(found).toEqual(events.slice(0, (found as R.RecordedEvent[]).length))
  }
})

test.each<[string, Uint8Array, string]>([
  ['nothing', new Uint8Array(), 'ERR_NOT_A_RECORDING'],
  ['something else', new Uint8Array(100), 'ERR_NOT_A_RECORDING'],
  [
    'a later format',
    Uint8Array.of(0x89, 0x72, 0x65, 0x74, 0x72, 0x65, 0x63, 0x0a, 5, 0, 0, 0, 0, 0, 0, 0),
    'ERR_VERSION',
  ],
  [
    'an earlier format',
    Uint8Array.of(0x89, 0x72, 0x65, 0x74, 0x72, 0x65, 0x63, 0x0a, 3, 0, 0, 0, 0, 0, 0, 0),
    'ERR_VERSION',
  ],
])('%s is refused', async (_what, file, code) => {
  await expect(R.openRecording(sourceOf(file))).rejects.toMatchObject({ code })
})

test('events in their order only, and none after the end', async () => {
  const writer = new R.RecordingWriter(() => undefined, null)
  const add = (kind: R.EventKind, round: number) =>
    writer.add(kind, { round, instructions: 10 * round }, 0, new Uint8Array())
  add('input', 5)
  expect(() => add('input', 4)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
  await writer.end()
  expect(() => add('input', 6)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
})

test('what fails to be written is told', async () => {
  const full = new Error('no space left')
  const writer = new R.RecordingWriter(() => Promise.reject(full), null)
  writer.mark({ round: 0, instructions: 0 }, 'a')
  await expect(writer.settled()).rejects.toBe(full)
  expect(() => writer.mark({ round: 0, instructions: 0 }, 'b')).toThrow('no space left')
  await expect(writer.end()).rejects.toBe(full)
})

/** Where the sections of a file are: their names and offsets, and how many bytes they are stored and decompressed. */
function sectionsOf(file: Uint8Array): { name: string; offset: number; stored: number; bytes: number }[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const found: { name: string; offset: number; stored: number; bytes: number }[] = []
  for (let offset = 16; offset < file.length;) {
    const stored = view.getUint32(offset + 8, true)
    const name = String.fromCharCode(...file.subarray(offset, offset + 4))
    found.push({ name, offset, stored, bytes: view.getUint32(offset + 12, true) })
    offset += 40 + stored
  }
  return found
}

/** Makes a section of a file, with sums that are right. */
function section(name: string, contents: Uint8Array, bytes = contents.length): Uint8Array {
  const data = new Codec().compress(contents)
  const made = new Uint8Array(40 + data.length)
  const view = new DataView(made.buffer)
  for (let i = 0; i < 4; i++) made[i] = name.charCodeAt(i)
  view.setUint32(4, crc32(data), true)
  view.setUint32(8, data.length, true)
  view.setUint32(12, bytes, true)
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
  const found = JSON.parse(Buffer.from(new Codec().decompress(data, index.bytes)!).toString()) as Index
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
  expect((await R.openRecording(sourceOf(withIndex(file, () => undefined)))).marks.length).toBe(1)
  await expect(R.openRecording(sourceOf(withIndex(file, change)))).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})

test('a checkpoint of more memory than its machine has is read no further', async () => {
  const { file } = await written()
  const recording = await R.openRecording(sourceOf(file))
  expect((await recording.checkpoint(2, 4)).gfns.length).toBe(3)
  await expect(recording.checkpoint(2, 3)).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})

/** The file with another section instead of the first one of a name. */
function withSection(file: Uint8Array, name: string, contents: Uint8Array, bytes?: number): Uint8Array {
  const { offset, stored } = sectionsOf(file).find((each) => each.name === name)!
  const rest = file.subarray(offset + 40 + stored)
  return new Uint8Array(Buffer.concat([file.subarray(0, offset), section(name, contents, bytes), rest]))
}

test.each<[string, string, Uint8Array, number?]>([
  ['a block of more pages than are written together', 'PAGE', new Uint8Array(17 * 4096)],
  ['a block of fewer', 'PAGE', new Uint8Array(15 * 4096)],
  ['a block that becomes something else', 'PAGE', new Uint8Array(17 * 4096), 16 * 4096],
  ['a map without a beginning', 'PMAP', new Uint8Array(8)],
  ['a map with a page that is not there', 'PMAP', new Uint8Array(Uint32Array.of(0, 1, 17).buffer)],
  ['a map that begins with what is neither yes nor no', 'PMAP', new Uint8Array(Uint32Array.of(2, 1, 1).buffer)],
  ['a map out of order', 'PMAP', new Uint8Array(Uint32Array.of(0, 2, 1, 2, 1).buffer)],
  ['a state that is none', 'STAT', new TextEncoder().encode('{')],
  ['a section that says it becomes a gigabyte', 'BYTE', new Uint8Array(100), 2 ** 30],
])('%s is damaged', async (_what, name, contents, bytes) => {
  const { file } = await written(300, false)
  expect((await (await R.openRecording(sourceOf(file))).checkpoint(0)).contents(0)).toEqual(page(1))
  const recording = await R.openRecording(sourceOf(withSection(file, name, contents, bytes)))
  expect(recording.checkpoints.length).toBe(3)
  const read = async (): Promise<unknown> => (await recording.checkpoint(0)).contents(0)
  await expect(read()).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})

test('a copy of a file that is being written has images, checkpoints and an end of its own', async () => {
  const [pieces, more]: Uint8Array[][] = [[], []]
  const writer = new R.RecordingWriter((bytes) => void pieces!.push(bytes.slice()), { machine: 'test' })
  const image = Uint8Array.from({ length: 200_000 }, (_, i) => i ^ (i >> 8))
  writer.addImage(image)
  writer.addImage(new Uint8Array())
  writer.add('input', { round: 1, instructions: 10 }, 1, Uint8Array.of(1, 2), page(7))
  const store = new R.CheckpointStore<null>()
  const draft = store.draft()
  draft.add(3, page(9), 0, true)
  store.add({ round: 1, instructions: 10 }, { here: true }, draft, null, 0, true)
  const copy = await writer.copy((bytes) => void more!.push(bytes.slice()))
  const length = pieces!.length
  writer.add('input', { round: 2, instructions: 20 }, 1, Uint8Array.of(3), page(7))
  await copy.addCheckpoints(store)
  await copy.end({ round: 1, instructions: 15 })
  await writer.end({ round: 2, instructions: 20 })
  const copied = await R.openRecording(sourceOf(Buffer.concat([...pieces!.slice(0, length), ...more!])))
  const whole = await R.openRecording(sourceOf(Buffer.concat(pieces!)))
  expect(copied).toMatchObject({ isCut: false, images: 2, pieces: 1, end: { round: 1, instructions: 15 } })
  expect(whole).toMatchObject({ isCut: false, images: 2, pieces: 2, end: { round: 2, instructions: 20 } })
  expect([copied.checkpoints.length, whole.checkpoints.length]).toEqual([1, 0])
  expect(Buffer.from(await copied.image(0)).equals(image)).toBe(true)
  expect(await whole.image(1)).toHaveLength(0)
  expect(() => whole.image(2)).toThrow('there is no image 2')
  const [event] = await copied.events(0)
  const into = new Uint8Array(4096)
  await copied.readBody(event!.body!, into)
  expect(into).toEqual(page(7))
  expect((await copied.checkpoint(0)).contents(0)).toEqual(page(9))
})
