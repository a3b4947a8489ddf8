/** Snapshot files: what goes in comes out, and a file that is not as it was written is refused. */
import fc from 'fast-check'
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import * as S from '../src/index.ts'
import { crc32, distinctPages } from '../src/equal-pages.ts'
import { encodeHead, encodeHeader, type SectionName } from '../src/format.ts'
import { decodeState } from '../src/plain-data.ts'

async function fileOf(snapshot: S.Snapshot, options?: S.WriteSnapshotOptions): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  await S.writeSnapshot(snapshot, (bytes) => pieces.push(bytes.slice()), options)
  return new Uint8Array(Buffer.concat(pieces))
}

const read = (file: Uint8Array): Promise<S.Snapshot> => S.readSnapshot(S.bytesSource(file))

/** Plain data of any shape. */
const { data } = fc.letrec((tie) => ({
  data: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.double(),
    fc.string(),
    fc.bigInt(),
    fc.uint8Array(),
    fc.uint32Array(),
    fc.float64Array(),
    fc.array(tie('data'), { maxLength: 4 }),
    fc.dictionary(
      fc.string().filter((name) => !name.startsWith('$')),
      tie('data'),
      { maxKeys: 4, noNullPrototype: true },
    ),
  ),
}))

/** Pages of which some are equal. */
const pages = fc
  .uniqueArray(fc.nat(0xffff_ffff), { maxLength: 12 })
  .chain((gfns) => fc.tuple(fc.constant(gfns), fc.array(fc.nat(5), { minLength: gfns.length, maxLength: gfns.length })))
  .map(([gfns, fills]) => {
    const bytes = new Uint8Array(gfns.length * 4096)
    fills.forEach((fill, i) => bytes.fill(fill, i * 4096 + fill, (i + 1) * 4096))
    return { gfns: Uint32Array.from(gfns).toSorted(), bytes }
  })

test('what is written is what is read', async () => {
  await fc.assert(
    fc.asyncProperty(data, data, pages, fc.boolean(), async (state, other, memory, compressed) => {
      const whole = { description: { name: 'x' }, state: { state, other }, pages: memory }
      const found = await read(await fileOf(whole, { compressed }))
      expect(found).toStrictEqual({ description: { name: 'x' }, state: { state, other }, pages: memory })
    }),
    { numRuns: slicedCount(200, 3) },
  )
})

test('pages that are not compressed are in the file as they are, and are found late, too', async () => {
  const { pages, ...rest } = sample()
  pages.bytes.set(Buffer.from('a page in its section'), 4096 * 300 + 100)
  const file = await fileOf({ ...rest, pages }, { compressed: false })
  expect(Buffer.from(file).includes('a page in its section')).toBe(true)
  const opened = await S.openSnapshot(lateSource(file))
  expect(Buffer.from(opened.pages.contents(300)).compare(pages.bytes.subarray(4096 * 300, 4096 * 301))).toBe(0)
})

test('bytes that are many are decompressed, too, and those that are damaged are not', async () => {
  for (const bytes of [1000, 17 << 20]) {
    const packed = await S.deflate(new Uint8Array(bytes).fill(7, -3))
    const found = await S.inflate(packed, bytes)
    expect([found?.length, found?.at(-1), found?.at(-4)]).toEqual([bytes, 7, 0])
    expect(await S.inflate(packed, bytes - 1)).toBeUndefined()
    expect(await S.inflate(packed, bytes + 1)).toBeUndefined()
    expect(await S.inflate(packed.subarray(0, -2), bytes)).toBeUndefined()
  }
})

/** A state, and more pages than one section has. */
function sample(): S.Snapshot {
  const count = 600
  const gfns = Uint32Array.from({ length: count }, (_, i) => 2 * i)
  const bytes = new Uint8Array(count * 4096)
  for (let i = 0; i < count; i++) bytes.fill(1 + (i % 255), i * 4096, i * 4096 + 4 + (i % 300))
  return { description: { cpus: 2 }, state: { cr0: 0x11, vram: new Uint8Array(100).fill(7) }, pages: { gfns, bytes } }
}

test('pages are equal where all of their words are', () => {
  const ramp = Uint8Array.from({ length: 4096 }, (_, i) => i * 7 + (i >> 8))
  const others = [0, 4, 2048, 4095].map((at) => ramp.with(at, ramp[at]! ^ 1))
  const all = [ramp, ramp.toReversed(), ...others, new Uint8Array(4096)]
  const { contents, firsts } = distinctPages(
    Uint8Array.from([...all, ...all.toReversed()].flatMap((page) => [...page])),
  )
  expect([...contents]).toEqual([0, 1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1, 0])
  expect(firsts).toEqual([0, 1, 2, 3, 4, 5, 6])
})

test('equal pages are written once, in sections that zlib decompresses', async () => {
  const file = await fileOf(sample())
  const view = new DataView(file.buffer)
  const found: string[] = []
  let pageBytes = 0
  for (let at = 16; at < file.length; at += 32 + view.getUint32(at + 8, true)) {
    const name = Buffer.from(file.subarray(at, at + 4)).toString()
    const stored = file.subarray(at + 32, at + 32 + view.getUint32(at + 8, true))
    if (name !== 'INDX' && stored.length > 0) expect(inflateRawSync(stored)).toHaveLength(view.getUint32(at + 12, true))
    if (name === 'PAGE') pageBytes += view.getUint32(at + 12, true)
    found.push(name)
  }
  expect(found).toStrictEqual(['DESC', 'STAT', 'BYTE', 'PMAP', 'PAGE', 'PAGE', 'PAGE', 'INDX', 'END '])
  const distinct = new Set(Array.from({ length: 600 }, (_, i) => `${i % 255} ${i % 300}`)).size
  expect(pageBytes).toBe(distinct * 4096)
})

test('the description is read without the rest', async () => {
  const file = await fileOf(sample())
  let last = 0
  const source = {
    bytes: file.length,
    read(offset: number, bytes: number): Uint8Array {
      last = Math.max(last, offset + bytes)
      return file.subarray(offset, offset + bytes)
    },
  }
  expect(await S.readSnapshotDescription(source)).toStrictEqual({ cpus: 2 })
  expect(last).toBeLessThan(100)
})

test('a file that ends early is refused, wherever it ends', async () => {
  const file = await fileOf(sample())
  await fc.assert(
    fc.asyncProperty(fc.nat(file.length - 1), async (length) => {
      await expect(read(file.subarray(0, length))).rejects.toMatchObject({
        code: 'ERR_TRUNCATED',
        message: expect.stringContaining(`${length} bytes`),
      })
    }),
    { numRuns: slicedCount(100, 3), examples: [[0], [7], [8], [15], [16], [file.length - 1]] },
  )
})

test('a file with any other byte is refused', async () => {
  const file = await fileOf(sample())
  await fc.assert(
    fc.asyncProperty(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const damaged = file.slice()
      damaged[at]! ^= change
      const error: unknown = await read(damaged).then(
        () => 'accepted',
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(S.SnapshotError)
      const expected = at < 8 ? ['ERR_NOT_A_SNAPSHOT'] : at < 12 ? ['ERR_VERSION'] : ['ERR_DAMAGED']
      expect(expected).toContain((error as S.SnapshotError).code)
    }),
    {
      numRuns: slicedCount(300, 3),
      examples: [
        [8, 3],
        [12, 1],
        [16, 1],
        [24, 1],
        [40, 1],
      ],
    },
  )
})

test.each<[string, unknown, RegExp]>([
  ['a function', { device: { read: () => 0 } }, /^device\.read is a function/],
  ['a Map', { device: { queues: [new Map()] } }, /^device\.queues\[0\] is a Map/],
  ['a name with $', { $array: 1 }, /\$array/],
])('a state with %s cannot be written', async (_what, state, message) => {
  const written: Uint8Array[] = []
  const writing = S.writeSnapshot(
    { description: null, state, pages: { gfns: new Uint32Array(), bytes: new Uint8Array() } },
    (bytes) => written.push(bytes),
  )
  await expect(writing).rejects.toMatchObject({ code: 'ERR_STATE', message: expect.stringMatching(message) })
  expect(written).toStrictEqual([])
})

test('a state too deep cannot be written, nor read', async () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])
  const written = { description: null, state: nested(100), pages: { gfns: new Uint32Array(), bytes: new Uint8Array() } }
  expect(await read(await fileOf(written))).toStrictEqual(written)
  await expect(fileOf({ ...written, state: nested(101) })).rejects.toMatchObject({ code: 'ERR_STATE' })
  // What is empty counts as a level, too.
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
  ] as const) {
    const text = (levels: number): string => `${open.repeat(levels)}${open[0]}${close}${close.repeat(levels)}`
    expect(decodeState({ text: text(100), bytes: new Uint8Array() })).toStrictEqual(JSON.parse(text(100)))
    expect(() => decodeState({ text: text(101), bytes: new Uint8Array() })).toThrow('over 100 levels')
  }
  for (const text of [
    `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    `{"$bigint":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
  ])
    expect(() => decodeState({ text, bytes: new Uint8Array() })).toThrow(
      expect.objectContaining({ code: 'ERR_DAMAGED' }),
    )
})

test('a state that names its bytes again and again is refused: they would take any memory', () => {
  const array = '{"$array":["Uint8Array",0,8]}'
  const bytes = new Uint8Array(8)
  expect(decodeState({ text: `[${array}]`, bytes })).toStrictEqual([bytes])
  expect(() => decodeState({ text: `[${array},${array}]`, bytes })).toThrow(
    expect.objectContaining({ code: 'ERR_DAMAGED' }),
  )
})

test('pages out of order cannot be written', async () => {
  const gfns = Uint32Array.of(3, 3)
  const writing = S.writeSnapshot(
    { description: null, state: null, pages: { gfns, bytes: new Uint8Array(8192) } },
    () => 0,
  )
  await expect(writing).rejects.toMatchObject({ code: 'ERR_STATE' })
})

test('progress ends with all of the pages', async () => {
  const steps: [number, number][] = []
  await S.writeSnapshot(sample(), () => 0, { onProgress: (done, all) => steps.push([done, all]) })
  expect(steps.length).toBe(3)
  expect(steps.at(-1)![0]).toBe(steps.at(-1)![1])
})

test('a description is no place for a gigabyte', async () => {
  const description = 'x'.repeat(2 ** 20)
  const file = await fileOf({ description, state: null, pages: { gfns: new Uint32Array(), bytes: new Uint8Array() } })
  await expect(read(file)).rejects.toMatchObject({ code: 'ERR_DAMAGED', message: expect.stringContaining('DESC') })
  await expect(S.readSnapshotDescription(S.bytesSource(file))).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})

/** A file of sections with any data, good checksums, and sizes that are said, as no writer makes it. */
function forged(...sections: [name: SectionName, data: Uint8Array, bytes: number][]): Uint8Array {
  const parts = sections.flatMap(([name, data, bytes]) => [encodeHead(name, data, bytes), data])
  return new Uint8Array(Buffer.concat([encodeHeader(), ...parts]))
}

test('a section that says it is not compressed is no larger for that', async () => {
  const long = Buffer.from(`"${'x'.repeat(2 ** 20)}"`)
  const file = forged(['DESC', long, 0])
  const refused = { code: 'ERR_DAMAGED', message: expect.stringContaining('DESC') as string }
  await expect(S.readSnapshotDescription(S.bytesSource(file))).rejects.toMatchObject(refused)
})

test('pages that take more bytes than they have are refused before they are read, as an index is that is too long', async () => {
  const begin = (length: number): Parameters<typeof forged> => [
    ['DESC', Buffer.from('null'), 0],
    ['STAT', Buffer.from('null'), 0],
    ['BYTE', new Uint8Array(), 0],
    ['PMAP', new Uint8Array(length), 0],
  ]
  // Empty blocks, as many as one likes, and then a page.
  const empty = new Uint8Array(5 * 2000).map((_, i) => (i % 5 > 2 ? 0xff : 0))
  const page = Buffer.concat([empty, deflateRawSync(new Uint8Array(4096).fill(1))])
  const index = new Uint8Array(8)
  new DataView(index.buffer).setUint32(0, crc32(page), true)
  new DataView(index.buffer).setUint32(4, page.length, true)
  const bombs = forged(...begin(8), ['PAGE', page, 4096], ['INDX', index, 0], ['END ', new Uint8Array(), 0])
  const damaged = (where: string): object => ({
    code: 'ERR_DAMAGED',
    message: expect.stringContaining(where) as string,
  })
  await expect(read(bombs)).rejects.toMatchObject(damaged('PAGE'))
  await expect(S.openSnapshot(lateSource(bombs))).rejects.toMatchObject(damaged('PAGE'))
  const long = forged(...begin(0), ['INDX', new Uint8Array(32_769), 0], ['END ', new Uint8Array(), 0])
  await expect(read(long)).rejects.toMatchObject(damaged('INDX'))
})

test('the map of pages is in their order, each once, and contents are numbered where they come first', async () => {
  const page = deflateRawSync(new Uint8Array(4096).fill(1))
  const index = new Uint8Array(Uint32Array.of(crc32(page), page.length).buffer)
  const withMap = (...words: number[]): Uint8Array =>
    forged(
      ['DESC', Buffer.from('null'), 0],
      ['STAT', Buffer.from('null'), 0],
      ['BYTE', new Uint8Array(), 0],
      ['PMAP', new Uint8Array(Uint32Array.from(words).buffer), 0],
      ['PAGE', page, 4096],
      ['INDX', index, 0],
      ['END ', new Uint8Array(), 0],
    )
  expect((await read(withMap(1, 0, 2, 0, 7, 0))).pages.gfns).toEqual(Uint32Array.of(1, 2, 7))
  const notSo = await read(withMap(1, 1)).then(String, (error: Error) => error.message)
  for (const words of [
    [2, 0, 1, 0],
    [1, 0, 1, 0],
    [1, 0, 3, 0, 2, 0],
    [0, 0, 0, 0],
  ])
    await expect(read(withMap(...words))).rejects.toMatchObject({ code: 'ERR_DAMAGED', message: notSo })
})

/** A file whose pages are read when they are needed. */
const lateSource = (file: Uint8Array): S.LateSnapshotSource => ({
  ...S.bytesSource(file),
  readNow: (offset, bytes) => file.subarray(offset, offset + bytes),
  inflateNow: (data, bytes) => new Uint8Array(inflateRawSync(data, { maxOutputLength: bytes })),
})

test('pages that are read when they are needed are those of the whole file, in any order', async () => {
  await fc.assert(
    fc.asyncProperty(data, pages, fc.array(fc.nat(11), { maxLength: 20 }), async (state, memory, order) => {
      const file = await fileOf({ description: { name: 'x' }, state, pages: memory })
      const { pages: found, ...rest } = await S.openSnapshot(lateSource(file))
      expect(rest).toStrictEqual({ description: { name: 'x' }, state })
      expect(found.gfns).toStrictEqual(memory.gfns)
      for (const index of order.filter((each) => each < memory.gfns.length))
        expect(found.contents(index)).toStrictEqual(memory.bytes.subarray(index * 4096, (index + 1) * 4096))
    }),
    { numRuns: slicedCount(100, 3) },
  )
})

test('nothing of the pages is read before one is needed, and then only its section', async () => {
  const file = await fileOf(sample())
  const reads: number[] = []
  const source = lateSource(file)
  let before = 0
  const counted: S.LateSnapshotSource = {
    ...source,
    read: (at, bytes) => (before++, source.read(at, bytes)),
    readNow: (at, bytes) => (reads.push(bytes), source.readNow(at, bytes)),
  }
  const { pages: found } = await S.openSnapshot(counted)
  expect(reads).toEqual([])
  // The header, four sections with their heads, and the index, however many sections of pages there are.
  expect(before).toBe(10)
  expect(found.placeOf(0)).toEqual(found.placeOf(1))
  expect(Buffer.from(file.subarray(found.placeOf(599).offset)).toString('latin1', 0, 4)).toBe('PAGE')
  for (const index of [599, 3, 599, 4, 300, 3]) {
    const { bytes } = sample().pages
    expect(found.contents(index)).toStrictEqual(bytes.subarray(index * 4096, (index + 1) * 4096))
  }
  expect(reads).toHaveLength(3)
})

test('pages that are prepared are there without another read, and are decompressed by the host', async () => {
  const file = await fileOf(sample())
  const source = lateSource(file)
  let [reads, byUs] = [0, 0]
  const { pages: found } = await S.openSnapshot({
    ...source,
    readNow: (at, bytes) => (reads++, source.readNow(at, bytes)),
    inflateNow: (data, bytes) => (byUs++, source.inflateNow(data, bytes)),
  })
  await Promise.all([3, 4, 599].map((index) => found.prepare(index)))
  for (const index of [599, 3, 4]) {
    const { bytes } = sample().pages
    expect(found.contents(index)).toStrictEqual(bytes.subarray(index * 4096, (index + 1) * 4096))
  }
  expect([reads, byUs]).toEqual([0, 0])
  const bad = file.slice()
  bad[found.placeOf(599).offset + 40]! ^= 1
  await expect((await S.openSnapshot(lateSource(bad))).pages.prepare(599)).rejects.toMatchObject({
    code: 'ERR_DAMAGED',
  })
})

test('a file that ends early is refused before a page is read', async () => {
  const file = await fileOf(sample())
  await fc.assert(
    fc.asyncProperty(fc.nat(file.length - 1), async (length) => {
      await expect(S.openSnapshot(lateSource(file.subarray(0, length)))).rejects.toMatchObject({
        code: 'ERR_TRUNCATED',
        message: expect.stringContaining(`${length} bytes`),
      })
    }),
    { numRuns: slicedCount(50, 3), examples: [[file.length - 1], [file.length - 33]] },
  )
})

test('any other byte shows at once, or when its page is read', async () => {
  const file = await fileOf(sample())
  await fc.assert(
    fc.asyncProperty(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bad = file.slice()
      bad[at]! ^= change
      const readAll = async (): Promise<void> => {
        const { pages: found } = await S.openSnapshot(lateSource(bad))
        for (let index = 0; index < found.gfns.length; index++) found.contents(index)
      }
      await expect(readAll()).rejects.toThrow(S.SnapshotError)
      await expect(S.openSnapshot(lateSource(bad)).then(({ pages }) => pages.verify())).rejects.toThrow(S.SnapshotError)
    }),
    { numRuns: slicedCount(150, 3) },
  )
})

test('all pages are checked before one is needed, each section once', async () => {
  const file = await fileOf(sample())
  const { pages: whole } = await S.openSnapshot(lateSource(file))
  const told: number[][] = []
  await whole.verify((done, all) => told.push([done, all]))
  const sections = [0, 256, 512].map((index) => whole.placeOf(index).bytes - 32)
  const all = sections.reduce((sum, bytes) => sum + bytes)
  expect(told).toEqual([
    [sections[0], all],
    [all - sections[2]!, all],
    [all, all],
  ])
  const { offset, bytes } = whole.placeOf(599)
  const bad = file.slice()
  bad[offset + bytes - 1]! ^= 1
  const { pages: damaged } = await S.openSnapshot(lateSource(bad))
  await expect(damaged.verify()).rejects.toMatchObject({
    code: 'ERR_DAMAGED',
    message: `the snapshot is damaged in section PAGE, at byte ${offset + 32}`,
  })
})

/** Bytes of the kinds that compressors tell apart: random, few values, and runs that repeat. */
const plain = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.constantFrom(0, 1, 97), { maxLength: 400 }).map((values) => Uint8Array.from(values)),
      fc.tuple(fc.nat(255), fc.nat(3000)).map(([value, length]) => new Uint8Array(length).fill(value)),
    ),
    { maxLength: 20 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)))

test('what zlib compresses, by any strategy and level, is decompressed at once', () => {
  const strategies = [constants.Z_DEFAULT_STRATEGY, constants.Z_HUFFMAN_ONLY, constants.Z_RLE, constants.Z_FIXED]
  fc.assert(
    fc.property(plain, fc.constantFrom(...strategies), fc.integer({ min: 0, max: 9 }), (bytes, strategy, level) => {
      const data = new Uint8Array(deflateRawSync(bytes, { strategy, level }))
      expect(Buffer.from(S.inflateNow(data, bytes.length)).equals(bytes)).toBe(true)
      if (bytes.length > 0) expect(() => S.inflateNow(data, bytes.length - 1)).toThrow(RangeError)
      expect(() => S.inflateNow(data.subarray(0, -1), bytes.length)).toThrow(RangeError)
    }),
    { numRuns: slicedCount(300, 3) },
  )
})

test('data that are damaged are an error, or other bytes of at most so many, as they are for zlib', () => {
  fc.assert(
    fc.property(plain, fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, place, change) => {
      const data = new Uint8Array(deflateRawSync(bytes))
      data[place % data.length]! ^= change
      const attempt = (inflate: () => Uint8Array): string => {
        try {
          return Buffer.from(inflate()).toString('hex')
        } catch {
          return 'refused'
        }
      }
      const most = bytes.length + 1000
      const ours = attempt(() => S.inflateNow(data, most))
      const zlibs = attempt(() => new Uint8Array(inflateRawSync(data, { maxOutputLength: most })))
      // zlib refuses codes with room for more symbols, which no compressor writes.
      if (zlibs !== 'refused') expect(ours).toBe(zlibs)
    }),
    { numRuns: slicedCount(500, 3) },
  )
})

describe('a file after an earlier one', () => {
  /** The guest's frames: its RAM has a hole, and is no multiple of a section's. */
  const FRAMES = [
    { gfn: 0, count: 0xa0 },
    { gfn: 0xc0, count: 1000 },
  ]
  const GFNS = FRAMES.flatMap(({ gfn, count }) => Array.from({ length: count }, (_, i) => gfn + i))

  type Ram = ReadonlyMap<number, number>
  /** Frames, each filled with a byte in its middle. */
  const pagesOf = (ram: Ram, gfns: readonly number[]): S.Snapshot['pages'] => {
    const bytes = new Uint8Array(gfns.length * 4096)
    gfns.forEach((gfn, i) => bytes.fill(ram.get(gfn) ?? 0, i * 4096 + 100, i * 4096 + 164))
    return { gfns: Uint32Array.from(gfns), bytes }
  }
  const named = (ram: Ram): number[] => GFNS.filter((gfn) => (ram.get(gfn) ?? 0) !== 0)
  /** Pages that a file has, without those of zeros. */
  const ramOf = ({ pages: { gfns, bytes } }: S.Snapshot): Ram =>
    new Map([...gfns].map((gfn, i) => [gfn, bytes[i * 4096 + 100]!] as const).filter(([, fill]) => fill !== 0))

  /** @returns the file, and how many sections of pages were compressed for it */
  async function after(
    before: Uint8Array | null,
    pages: S.Snapshot['pages'],
    frames = FRAMES,
  ): Promise<[file: Uint8Array, compressed: number]> {
    const pieces: Uint8Array[] = []
    let compressed = 0
    await S.writeSnapshotAfter(
      before === null ? null : S.bytesSource(before),
      { description: {}, state: { count: pages.gfns.length }, pages },
      frames,
      (part) => {
        if ('offset' in part) pieces.push(before!.slice(part.offset, part.offset + part.bytes))
        else pieces.push(part)
        if (!('offset' in part) && part.length === 32 && Buffer.from(part).toString('latin1', 0, 4) === 'PAGE')
          compressed++
      },
    )
    return [new Uint8Array(Buffer.concat(pieces)), compressed]
  }

  const fills = fc.array(fc.tuple(fc.nat(GFNS.length - 1), fc.nat(3)), { maxLength: 30 })

  test('has what one that is written whole has, whatever was written between them', async () => {
    await fc.assert(
      fc.asyncProperty(fills, fc.array(fills, { minLength: 1, maxLength: 4 }), async (first, writes) => {
        const ram = new Map(first.map(([i, fill]) => [GFNS[i]!, fill]))
        let [file] = await after(null, pagesOf(ram, named(ram)))
        for (const some of writes) {
          for (const [i, fill] of some) ram.set(GFNS[i]!, fill)
          const written = [...new Set(some.map(([i]) => GFNS[i]!))].toSorted((a, b) => a - b)
          const pages = pagesOf(ram, written)
          ;[file] = await after(file, pages)
          const whole = await read(
            await fileOf({ description: {}, state: { count: written.length }, pages: pagesOf(ram, named(ram)) }),
          )
          const found = await read(file)
          expect(found.state).toEqual(whole.state)
          expect(ramOf(found)).toEqual(ramOf(whole))
          const late = await S.openSnapshot(lateSource(file))
          await late.pages.verify()
          for (const [i, gfn] of late.pages.gfns.entries()) expect(late.pages.contents(i)[163]).toBe(ram.get(gfn) ?? 0)
        }
      }),
      { numRuns: slicedCount(40, 3) },
    )
  })

  test('compresses the sections with a change alone: of one page, of one that comes, of one that goes', async () => {
    const ram = new Map(GFNS.filter((gfn) => gfn < 900).map((gfn) => [gfn, 1 + (gfn % 250)]))
    let [file, compressed] = await after(null, pagesOf(ram, named(ram)))
    expect(compressed).toBe(4)
    const counts: number[] = []
    for (const [gfn, fill] of [
      [300, 77],
      [300, 77],
      [1150, 5],
      [1, 0],
      [1150, 0],
    ] as const) {
      ram.set(gfn, fill)
      ;[file, compressed] = await after(file, pagesOf(ram, [gfn]))
      counts.push(compressed)
      expect(ramOf(await read(file))).toEqual(new Map(named(ram).map((each) => [each, ram.get(each)])))
    }
    expect(counts).toEqual([1, 0, 1, 1, 0])
    expect((await after(file, pagesOf(ram, [])))[1]).toBe(0)
  })

  test('goes on from any file, and with other frames', async () => {
    const ram = new Map(GFNS.map((gfn) => [gfn, 1 + (gfn % 3)]))
    const old = await fileOf({ description: {}, state: null, pages: pagesOf(ram, named(ram)) })
    ram.set(500, 99)
    const [file] = await after(old, pagesOf(ram, [500]))
    expect(ramOf(await read(file))).toEqual(ram)
    // RAM below 300 has gone, and there is more above.
    const frames = [{ gfn: 300, count: 1000 }]
    const [other] = await after(file, pagesOf(new Map([[1299, 8]]), [1299]), frames)
    const rest = [...ram].filter(([gfn]) => gfn >= 300)
    expect(ramOf(await read(other))).toEqual(new Map([...rest, [1299, 8]]))
  })

  test('is refused with a page of no frame, and after a file that is damaged', async () => {
    const ram = new Map([[5, 1]])
    const [file] = await after(null, pagesOf(ram, [5]))
    for (const gfn of [0xb0, 5000])
      await expect(after(file, pagesOf(ram, [gfn]))).rejects.toThrow(`page ${gfn} is of none of the guest's frames`)
    const damaged = file.with(file.length - 150, file.at(-150)! ^ 1)
    await expect(after(damaged, pagesOf(ram, [6]))).rejects.toThrow('damaged')
  })
})
