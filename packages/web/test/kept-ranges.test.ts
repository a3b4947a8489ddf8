/** What the browser keeps of a file on a web server: whose it is, and whether it is whole. */
import { expect, test } from 'vitest'
import { KeptRanges, type RangeFile } from '../src/worker/kept-ranges.ts'
import { MemoryFile } from './support/memory-folder.ts'

const CHUNK = 64
const HEAD_BYTES = 8192
const SLOT_BYTES = 16 + CHUNK
const URL_A = 'https://a.test/x.img'
const STATE = { tag: '"one"', bytes: 3 * CHUNK + 5 }

const open = (file: RangeFile, url = URL_A, mostBytes = 1 << 20): KeptRanges =>
  new KeptRanges(file, { url, chunkBytes: CHUNK, mostBytes })
const chunk = (value: number, bytes = CHUNK): Uint8Array => new Uint8Array(bytes).fill(value)
const valuesOf = (store: KeptRanges): (number | null)[] => [0, 1, 2, 3].map((index) => store.read(index)?.[0] ?? null)

/** A file with chunks 2, 0 and 3 in it. */
function filled(): MemoryFile {
  const file = new MemoryFile()
  const store = open(file)
  expect(store.use(STATE)).toBe(true)
  store.write(2, chunk(12))
  store.write(0, chunk(10))
  store.write(3, chunk(13, 5))
  return file
}

test('chunks are there when the file is opened again; more are added', () => {
  const file = filled()
  const store = open(file)
  expect(store.kept).toEqual(STATE)
  expect(store.use(STATE)).toBe(true)
  expect(valuesOf(store)).toEqual([10, null, 12, 13])
  expect(store.read(3)).toEqual(chunk(13, 5))
  store.write(1, chunk(11))
  expect(valuesOf(open(file))).toEqual([10, 11, 12, 13])
})

test.each([
  ['another tag', { ...STATE, tag: '"two"' }],
  ['another size', { ...STATE, bytes: STATE.bytes + 1 }],
])('%s: all is dropped', (_, state) => {
  const file = filled()
  const store = open(file)
  expect(store.use(state)).toBe(true)
  expect(valuesOf(store)).toEqual([null, null, null, null])
  expect(file.bytes.length).toBe(HEAD_BYTES)
})

test('the same tag of another address is another file', () => {
  const store = open(filled(), 'https://evil.test/x.img')
  expect(store.kept).toBeNull()
  store.use(STATE)
  expect(valuesOf(store)).toEqual([null, null, null, null])
})

test('a damaged chunk is not there, and its place is used again', () => {
  const file = filled()
  file.bytes[HEAD_BYTES + SLOT_BYTES + 20]! ^= 1
  const store = open(file)
  store.use(STATE)
  expect(valuesOf(store)).toEqual([null, null, 12, 13])
  const before = file.bytes.length
  store.write(0, chunk(20))
  expect(file.bytes.length).toBe(before)
  expect(valuesOf(open(file))).toEqual([20, null, 12, 13])
})

test('whatever a file holds, no chunk is wrong', () => {
  const good = filled()
  const headEnd = 20 + new DataView(good.bytes.buffer).getUint32(12, true)
  for (let at = 0; at < good.bytes.length; at++) {
    const file = new MemoryFile()
    file.bytes = good.bytes.slice()
    file.bytes[at]! ^= 0x40
    const store = open(file)
    store.use(STATE)
    for (const [index, value] of valuesOf(store).entries()) expect([null, 10 + index]).toContain(value)
    // Padding aside, no byte is there for nothing.
    const isPadding = at >= headEnd && at < HEAD_BYTES
    expect(valuesOf(store).filter((value) => value !== null).length).toBe(isPadding ? 3 : at < HEAD_BYTES ? 0 : 2)
  }
})

test('a file that ends anywhere has what is whole', () => {
  const good = filled()
  for (let bytes = 0; bytes < good.bytes.length; bytes += 7) {
    const file = new MemoryFile()
    file.bytes = good.bytes.slice(0, bytes)
    const store = open(file)
    expect(store.use(STATE)).toBe(true)
    store.write(1, chunk(11))
    const whole = Math.max(0, Math.floor((bytes - HEAD_BYTES) / SLOT_BYTES))
    expect(valuesOf(store)).toEqual([whole > 1 ? 10 : null, 11, whole > 0 ? 12 : null, null])
    expect(valuesOf(open(file))).toEqual(valuesOf(store))
  }
})

test('a full browser keeps what it has, and asks for no more', () => {
  const file = filled()
  file.quota = file.bytes.length
  const store = open(file)
  store.use(STATE)
  store.write(1, chunk(11))
  expect(valuesOf(store)).toEqual([10, null, 12, 13])
  file.quota = 0
  const none = open(file)
  expect(none.use({ ...STATE, tag: '"two"' })).toBe(false)
  expect(none.kept).toBeNull()
})

test('a head that says that there is less than nothing is none', () => {
  const file = new MemoryFile()
  open(file).use({ ...STATE, bytes: -1 })
  expect(open(file).kept).toBeNull()
})

test('the file does not grow beyond its limit', () => {
  const file = new MemoryFile()
  const store = open(file, URL_A, HEAD_BYTES + 2 * SLOT_BYTES)
  store.use(STATE)
  for (const index of [0, 1, 2]) store.write(index, chunk(10 + index))
  expect(valuesOf(store)).toEqual([10, 11, null, null])
})

test('an address that is too long for the head is not kept', () => {
  expect(open(new MemoryFile(), `https://a.test/?${'s'.repeat(9000)}`).use(STATE)).toBe(false)
})
