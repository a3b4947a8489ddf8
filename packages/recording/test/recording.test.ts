import { expect, test } from 'vitest'
import { type EventKind, openRecording, type RecordedEvent, RecordingError, RecordingWriter } from '../src/index.ts'

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
    Uint8Array.of(0x89, 0x72, 0x65, 0x74, 0x72, 0x65, 0x63, 0x0a, 2, 0, 0, 0, 0, 0, 0, 0),
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
