import { BlockError } from '@retrap/device'
import fc from 'fast-check'
import { OwnTime } from '@retrap/tooling/processor-time'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { checkQcow2, createQcow2, ImageError, Qcow2Image, readQcow2Info } from '../../src/index.ts'
import { LoggingStorage } from '../support/logging-storage.ts'
import { SAMPLE_BYTES, sampleImage } from '../support/mutated.ts'

const BYTES = SAMPLE_BYTES
const sample = sampleImage

const set32 = (bytes: Uint8Array, at: number, value: number): void => new DataView(bytes.buffer).setUint32(at, value)

describe('a header that makes no sense is refused', () => {
  test.each([
    { what: 'no magic', at: 0, value: 0, code: 'ERR_FORMAT', message: 'not a qcow2 image' },
    { what: 'version 4', at: 4, value: 4, code: 'ERR_UNSUPPORTED', message: 'version 4' },
    { what: 'clusters of 256 bytes', at: 20, value: 8, code: 'ERR_FORMAT', message: 'cluster_bits is 8' },
    { what: 'clusters of 4 MiB', at: 20, value: 22, code: 'ERR_FORMAT', message: 'cluster_bits is 22' },
    { what: 'a size of 2^63', at: 24, value: 0x8000_0000, code: 'ERR_FORMAT', message: 'size' },
    { what: 'encryption', at: 32, value: 1, code: 'ERR_UNSUPPORTED', message: 'encrypted' },
    { what: 'an L1 table of 32 GiB', at: 36, value: 0xffff_ffff, code: 'ERR_FORMAT', message: 'L1 table' },
    { what: 'an L1 table that is too short', at: 36, value: 0, code: 'ERR_FORMAT', message: '1 are needed' },
    { what: 'an L1 table behind the end', at: 40, value: 1, code: 'ERR_FORMAT', message: 'L1 table' },
    { what: 'an L1 table off its boundary', at: 44, value: 513, code: 'ERR_FORMAT', message: 'L1 table' },
    { what: 'a refcount table of 16 TiB', at: 56, value: 0xffff_ffff, code: 'ERR_FORMAT', message: 'refcount table' },
    { what: 'no refcount table', at: 56, value: 0, code: 'ERR_FORMAT', message: 'refcount table' },
    { what: 'many snapshots', at: 60, value: 0xffff_ffff, code: 'ERR_FORMAT', message: 'snapshots' },
    { what: 'counts of 128 bits', at: 96, value: 7, code: 'ERR_FORMAT', message: 'refcount_order is 7' },
    {
      what: 'a header of 100 bytes',
      at: 100,
      value: 100,
      code: 'ERR_FORMAT',
      message: 'header_length is 100; expected a multiple of 8',
    },
    { what: 'a header longer than a cluster', at: 100, value: 8192, code: 'ERR_FORMAT', message: 'header_length' },
    {
      what: 'a long name of a file below',
      at: 16,
      value: 2000,
      also: [12, 512],
      code: 'ERR_FORMAT',
      message: '2000 bytes',
    },
    { what: 'a long extension', at: 104, value: 5, also: [108, 0xffff_fff0], code: 'ERR_FORMAT', message: 'extension' },
    { what: 'an external data file', at: 76, value: 4, code: 'ERR_UNSUPPORTED', message: 'external data file (bit 2)' },
    { what: 'extended entries', at: 76, value: 16, code: 'ERR_UNSUPPORTED', message: 'extended L2 entries (bit 4)' },
    { what: 'a feature of the future', at: 72, value: 1, code: 'ERR_UNSUPPORTED', message: 'unknown (bit 32)' },
    { what: 'an unnamed compression', at: 76, value: 8, code: 'ERR_FORMAT', message: 'compression type 0' },
  ])('$what', async ({ at, value, also, code, message }) => {
    const bytes = await sample()
    set32(bytes, at, value)
    if (also !== undefined) set32(bytes, also[0]!, also[1]!)
    const open = Qcow2Image.open(new LoggingStorage(bytes))
    await expect(open).rejects.toThrow(expect.objectContaining({ name: 'ImageError', code }))
    await expect(Qcow2Image.open(new LoggingStorage(bytes))).rejects.toThrow(message)
  })

  test('an unknown feature is called what the image calls it', async () => {
    const bytes = await sample()
    set32(bytes, 76, 1 << 7)
    set32(bytes, 104, 0x6803_f857)
    set32(bytes, 108, 48)
    bytes.set([0, 7, ...new TextEncoder().encode('time travel')], 112)
    await expect(Qcow2Image.open(new LoggingStorage(bytes))).rejects.toThrow('time travel (bit 7)')
  })

  test('an image that is marked as corrupt is only read', async () => {
    const bytes = await sample()
    set32(bytes, 76, 2)
    await expect(Qcow2Image.open(new LoggingStorage(bytes))).rejects.toThrow('marked as corrupt')
    const image = await Qcow2Image.open(new LoggingStorage(bytes), { readOnly: true })
    await image.read(0, new Uint8Array(512))
  })
})

test('data that lies where a table is, is not written', async () => {
  const bytes = await sample()
  const storage = new LoggingStorage(bytes)
  const view = new DataView(bytes.buffer)
  const l1 = view.getUint32(44)
  const l2 = view.getUint32(l1 + 4)
  for (const table of [0x1000, 0x2000, l1, l2]) {
    storage.apply(l2, new Uint8Array([0x80, 0, 0, 0, 0, 0, table >> 8, table & 0xff]))
    const image = await Qcow2Image.open(storage)
    await image.read(8192, new Uint8Array(512))
    await expect(image.write(0, new Uint8Array(512)), `${table}`).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_MEDIUM' }),
    )
  }
})

/** An image with a table of snapshots behind everything else. */
async function withSnapshots(count: number, entry: (bytes: Uint8Array, l1: number) => void): Promise<LoggingStorage> {
  const bytes = await sample()
  const storage = new LoggingStorage(bytes)
  const fields = new Uint8Array(12)
  set32(fields, 0, count)
  set32(fields, 8, bytes.length)
  storage.apply(60, fields)
  const table = new Uint8Array(256 << 10)
  entry(table, new DataView(bytes.buffer).getUint32(44))
  for (let i = 0; i < count; i++) storage.apply(bytes.length + i * table.length, table)
  return storage
}

/** Writes a snapshot's entry that is as long as `withSnapshots` has room for. */
function fillEntry(entry: Uint8Array, l1: number, entries: number): void {
  set32(entry, 4, l1)
  set32(entry, 8, entries)
  set32(entry, 36, entry.length - 40)
  // The size of the disk then.
  set32(entry, 52, BYTES)
}

test('names of snapshots do not reach a terminal as commands', async () => {
  const storage = await withSnapshots(1, (entry, l1) => {
    set32(entry, 4, l1)
    set32(entry, 8, 1)
    set32(entry, 12, (1 << 16) | 7)
    entry.set(new TextEncoder().encode('1\u001b[2Jbad'), 40)
  })
  const { snapshots } = await readQcow2Info(storage)
  expect(snapshots.map(({ id, name }) => [id, name])).toEqual([['1', String.raw`\x1b[2Jbad`]])
})

test.each([
  { count: 102, fits: true },
  { count: 103, fits: false },
])('a table of $count snapshots at least in the last cluster of the file: $fits', async ({ count, fits }) => {
  const bytes = await sample()
  expect(bytes.length % 4096).toBe(0)
  set32(bytes, 60, count)
  set32(bytes, 68, bytes.length - 4096)
  const refusal = `the snapshot table lies at ${bytes.length - 4096}`
  const said = await readQcow2Info(new LoggingStorage(bytes)).then(String, (error: Error) => error.message)
  if (fits) expect(said).not.toContain(refusal)
  else expect(said).toContain(refusal)
})

test('a table of snapshots takes no more memory than QEMU lets it', async () => {
  const storage = await withSnapshots(258, (entry, l1) => fillEntry(entry, l1, 1))
  await expect(readQcow2Info(storage)).rejects.toThrow('the place of snapshot 257')
})

describe('a snapshot that makes no sense is refused', () => {
  test.each([
    { what: 'an entry of more than 256 KiB', at: 12, value: 1, message: 'the entry of snapshot 0' },
    { what: 'a disk of 2^63 bytes', at: 48, value: 0x8000_0000, message: 'the size of snapshot 0' },
    { what: 'a disk for which the table is too short', at: 52, value: 1 << 22, message: 'the L1 table of snapshot 0' },
    { what: 'no table', at: 8, value: 0, message: 'the L1 table of snapshot 0' },
    { what: 'a table off its boundary', at: 4, value: 0x800, message: 'the L1 table of snapshot 0' },
    { what: 'a table behind the end', at: 0, value: 1, message: 'the L1 table of snapshot 0' },
    { what: 'a table that goes past the end', at: 8, value: 0x40_0000, message: 'the L1 table of snapshot 0' },
  ])('$what', async ({ at, value, message }) => {
    const storage = await withSnapshots(2, (entry, l1) => {
      fillEntry(entry, l1, 1)
      set32(entry, at, value)
    })
    const error = expect.objectContaining({ name: 'ImageError', code: 'ERR_FORMAT' })
    await expect(readQcow2Info(storage)).rejects.toThrow(error)
    await expect(readQcow2Info(storage)).rejects.toThrow(message)
  })

  test('and so is one that goes past the end of the file', async () => {
    const { content } = await withSnapshots(2, (entry, l1) => fillEntry(entry, l1, 1))
    expect((await readQcow2Info(new LoggingStorage(content))).snapshots).toHaveLength(2)
    const short = readQcow2Info(new LoggingStorage(content.slice(0, -1)))
    await expect(short).rejects.toThrow('the entry of snapshot 1')
  })
})

test.each([
  { count: 2, larger: false },
  { count: 3, larger: true },
])('$count L1 tables of snapshots, each half as large as the file: too large $larger', async ({ count, larger }) => {
  const fileBytes = (await sample()).length + count * (256 << 10)
  const storage = await withSnapshots(count, (entry) => fillEntry(entry, 0, fileBytes / 8 / 2))
  const check = checkQcow2(storage)
  if (larger) await expect(check).rejects.toThrow('the L1 tables of snapshots are larger than the file')
  else expect((await check).corruptions).toBeGreaterThan(0)
})

test('mutated images give errors of ours, or content; never anything else', async () => {
  const samples = [await sample(), await sample({ version: 2 }), await sample({ refcountBits: 1, clusterBytes: 512 })]
  const mutation = fc.record({
    at: fc.oneof(fc.nat(120), fc.nat(40_000)),
    value: fc.constantFrom(0, 1, 2, 7, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff),
    count: fc.integer({ min: 1, max: 8 }),
  })
  const known = (error: unknown): void => {
    if (!(error instanceof ImageError) && !(error instanceof BlockError)) throw error
  }
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.array(mutation, { minLength: 1, maxLength: 4 }), async (which, mutations) => {
      const bytes = samples[which]!.slice()
      for (const { at, value, count } of mutations) bytes.fill(value, at % bytes.length, (at % bytes.length) + count)
      await checkQcow2(new LoggingStorage(bytes)).catch(known)
      const image = await Qcow2Image.open(new LoggingStorage(bytes), {
        openBacking: () => Promise.reject(new ImageError('ERR_BACKING', 'there is none')),
      }).catch(known)
      if (image === undefined) return
      const size = Math.min(BYTES, image.properties.bytes)
      await image.read(0, new Uint8Array(size)).catch(known)
      for (const at of [0, 500 * 512, size - 512]) {
        if (at < 0 || at >= size) continue
        await image.write(at, new Uint8Array(512)).catch(known)
        await image.writeZeroes(0, size).catch(known)
        await image.discard(0, size).catch(known)
        await image.flush().catch(known)
      }
      await image.write(0, new Uint8Array(Math.min(size, 65_536))).catch(known)
      await image.close().catch(known)
    }),
    // The example is data at 0xff000000000200, beyond what a number tells apart.
    { numRuns: slicedCount(300, 4), examples: [[0, [{ at: 24_577, value: 255, count: 1 }]]] },
  )
})

test('a large disk with nothing in it is discarded at once, and filled with zeros', async () => {
  const storage = new LoggingStorage()
  await createQcow2(storage, { bytes: 2 ** 37, clusterBytes: 512 })
  const image = await Qcow2Image.open(storage)
  const time = new OwnTime()
  await image.write(2 ** 36, new Uint8Array(512).fill(1))
  await image.discard(0, 2 ** 37)
  await image.write(2 ** 36, new Uint8Array(512).fill(1))
  await image.writeZeroes(0, 2 ** 37)
  expect(time.milliseconds()).toBeLessThan(3000)
  const sector = new Uint8Array(512).fill(2)
  await image.read(2 ** 36, sector)
  expect(sector.every((byte) => byte === 0)).toBe(true)
  await image.close()
})

test('a refcount table of 8 MiB whose entries are all one block takes no longer than others', async () => {
  const storage = new LoggingStorage()
  await createQcow2(storage, { bytes: BYTES })
  const table = new Uint8Array(8 << 20)
  for (let at = 0; at < table.length; at += 8) table[at + 5] = 2
  const place = 16 << 16
  storage.apply(place, table)
  const fields = new Uint8Array([0, 0, 0, 0, 0, place >> 16, 0, 0, 0, 0, 0, 128])
  storage.apply(48, fields)
  const time = new OwnTime()
  expect((await checkQcow2(storage)).corruptions).toBeGreaterThan(1_000_000)
  await expect(Qcow2Image.open(storage)).rejects.toThrow('two refcount blocks lie at 131072')
  await (await Qcow2Image.open(storage, { readOnly: true })).read(0, new Uint8Array(512))
  expect(time.milliseconds()).toBeLessThan(10_000)
})
