import { PAGE_BYTES } from '@retrap/snapshot'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { BodyPages } from '../src/body-pages.ts'
import { decodeEvents, EventEncoder } from '../src/events.ts'
import { type EventBody, openRecording, RecordingWriter } from '../src/index.ts'

const sourceOf = (file: Uint8Array) => ({
  bytes: file.length,
  read: (offset: number, bytes: number) => file.subarray(offset, offset + bytes),
})

/** Bytes that are told by their first page and how they go on; page 0 is zeros. */
function body(pages: readonly number[], bytes = pages.length * PAGE_BYTES): Uint8Array {
  const found = new Uint8Array(pages.length * PAGE_BYTES)
  for (const [i, page] of pages.entries()) {
    let word = page
    for (let at = i * PAGE_BYTES; page !== 0 && at < (i + 1) * PAGE_BYTES; at++) {
      word = (Math.imul(word, 0x41c6_4e6d) + 0x3039) >>> 0
      found[at] = word >>> 24
    }
  }
  return found.subarray(0, bytes)
}

interface Given {
  readonly bytes: Uint8Array
  /** What was added is written at once. */
  readonly flushed: boolean
}

async function written(given: readonly Given[], ended = true): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  const writer = new RecordingWriter((bytes) => void pieces.push(bytes.slice()), null)
  for (const [i, { bytes, flushed }] of given.entries()) {
    writer.add('answer', { round: i, instructions: i }, i, Uint8Array.of(i), bytes)
    if (flushed) writer.flush()
  }
  writer.flush()
  await (ended ? writer.end() : writer.settled())
  return new Uint8Array(Buffer.concat(pieces))
}

async function bodiesOf(file: Uint8Array): Promise<Uint8Array[]> {
  const recording = await openRecording(sourceOf(file))
  const found: Uint8Array[] = []
  for (let piece = 0; piece < recording.pieces; piece++)
    for (const event of await recording.events(piece)) {
      const into = new Uint8Array(event.body!.bytes).fill(0xee)
      await recording.readBody(event.body!, into)
      found.push(into)
    }
  return found
}

test('bodies are read as they were written, wherever the file was flushed, and from one that was cut', async () => {
  const pages = fc.array(fc.nat(40), { maxLength: 40 })
  const one = fc.record({ pages, less: fc.nat(PAGE_BYTES - 1), flushed: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 12 }), fc.boolean(), async (all, ended) => {
      const given = all.map(({ pages, less, flushed }) => ({
        bytes: body(pages, Math.max(0, pages.length * PAGE_BYTES - less)),
        flushed,
      }))
      const found = await bodiesOf(await written(given, ended))
      expect(found.length).toBe(given.length)
      for (const [i, { bytes }] of given.entries()) expect(Buffer.compare(found[i]!, bytes)).toBe(0)
    }),
    { numRuns: 30 },
  )
})

test('a page is in the file once', async () => {
  const pages = Array.from({ length: 200 }, (_, i) => i + 1)
  const once = await written([{ bytes: body(pages), flushed: false }])
  const often = await written(Array.from({ length: 20 }, (_, i) => ({ bytes: body(pages), flushed: i % 3 === 0 })))
  expect(once.length).toBeGreaterThan(200 * PAGE_BYTES)
  expect(often.length).toBeLessThan(once.length + 2000)
  const zeros = await written([{ bytes: new Uint8Array(2 ** 24), flushed: false }])
  expect(zeros.length).toBeLessThan(1000)
})

test('pages that follow each other are one run, and zeros another', () => {
  const blocks: Uint8Array[] = []
  const pages = new BodyPages((block) => blocks.push(block))
  expect(pages.add(body([1, 2, 3]))).toEqual({ bytes: 3 * PAGE_BYTES, runs: [1, 3] })
  expect(pages.add(body([2, 3, 0, 0, 3, 9]))).toEqual({ bytes: 6 * PAGE_BYTES, runs: [2, 2, 0, 2, 3, 2] })
  expect(pages.add(body([0, 1], PAGE_BYTES + 1)).runs).toEqual([0, 1, 5, 1])
  expect(pages.add(new Uint8Array())).toEqual({ bytes: 0, runs: [] })
  expect(blocks.length).toBe(0)
  pages.close()
  pages.close()
  expect(blocks.length).toBe(1)
  // The next block begins.
  expect(pages.add(body([20, 1])).runs).toEqual([17, 1, 1, 1])
})

test('what is no longer remembered is written again, and zeros are always known', async () => {
  const blocks: Uint8Array[] = []
  const pages = new BodyPages((block) => blocks.push(block), 20)
  const all = Array.from({ length: 50 }, (_, i) => i + 1)
  expect(pages.add(body(all)).runs).toEqual([1, 50])
  // Two times 20 were forgotten.
  expect(pages.add(body([1])).runs).toEqual([51, 1])
  expect(pages.add(body([45, 46, 0])).runs).toEqual([45, 2, 0, 1])
  expect(blocks.length).toBe(3)
})

const event = (body: EventBody): Uint8Array => {
  const encoder = new EventEncoder()
  encoder.add('answer', { round: 0, instructions: 0 }, 0, new Uint8Array(), body)
  return encoder.take()
}

test.each<[string, EventBody]>([
  ['fewer pages than bytes', { bytes: 2 * PAGE_BYTES + 1, runs: [1, 2] }],
  ['more pages than bytes', { bytes: 2 * PAGE_BYTES, runs: [1, 3] }],
  ['a run of nothing', { bytes: PAGE_BYTES, runs: [1, 0, 1, 1] }],
  ['no pages', { bytes: 1, runs: [] }],
  ['more bytes than a section may have', { bytes: 2 ** 30 + 1, runs: [0, 2 ** 18 + 1] }],
])('a body that has %s is damaged', (_what, given) => {
  expect(() => decodeEvents(event(given), { round: 0, instructions: 0 })).toThrow(
    expect.objectContaining({ code: 'ERR_DAMAGED' }),
  )
})

test('events of more than 16 MiB are not even looked at, and none is written of more than 8', () => {
  const [from, most] = [{ round: 0, instructions: 0 }, 16 * 2 ** 20]
  // Bytes of 0: inputs without contents.
  expect(decodeEvents(new Uint8Array(5000), from)).toHaveLength(1000)
  expect(decodeEvents(new Uint8Array(5 * 2 ** 16), from)).toHaveLength(2 ** 16)
  expect(() => decodeEvents(new Uint8Array(5 * (2 ** 16 + 1)), from)).toThrow(
    expect.objectContaining({ code: 'ERR_DAMAGED' }),
  )
  expect(() => decodeEvents(new Uint8Array(most + 5), from)).toThrow(expect.objectContaining({ code: 'ERR_DAMAGED' }))
  const encoder = new EventEncoder()
  encoder.add('input', from, 0, new Uint8Array(most / 2))
  expect(decodeEvents(encoder.take(), from)[0]!.data).toHaveLength(most / 2)
  expect(() => encoder.add('input', from, 0, new Uint8Array(most / 2 + 1))).toThrow(
    expect.objectContaining({ code: 'ERR_STATE' }),
  )
})

test('an event that is cut in its body is damaged', () => {
  const whole = event({ bytes: 3 * PAGE_BYTES, runs: [1, 2, 300, 1] })
  expect(decodeEvents(whole, { round: 0, instructions: 0 })[0]!.body).toEqual({
    bytes: 3 * PAGE_BYTES,
    runs: [1, 2, 300, 1],
  })
  for (let bytes = 6; bytes < whole.length; bytes++)
    expect(() => decodeEvents(whole.subarray(0, bytes), { round: 0, instructions: 0 })).toThrow(
      expect.objectContaining({ code: 'ERR_DAMAGED' }),
    )
})

test('a page that is not there is damage, and a body is read as long as it is', async () => {
  const recording = await openRecording(sourceOf(await written([{ bytes: body([1, 2]), flushed: true }])))
  const into = new Uint8Array(PAGE_BYTES).fill(0xee)
  const read = (runs: readonly number[], bytes = PAGE_BYTES) => recording.readBody({ bytes, runs }, into)
  // The rest of the only block.
  await read([16, 1])
  expect(into.every((byte) => byte === 0)).toBe(true)
  await expect(read([17, 1])).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
  await expect(read([1, 1], 5)).rejects.toMatchObject({ code: 'ERR_STATE' })
})
