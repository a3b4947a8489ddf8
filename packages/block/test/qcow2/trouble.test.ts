import { BlockError } from '@retrap/device'
import { numbers } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import { checkQcow2, createQcow2, Qcow2Image } from '../../src/index.ts'
import { readHeader } from '../../src/qcow2/header.ts'
import { openMetadata } from '../../src/qcow2/open-metadata.ts'
import { LoggingStorage } from '../support/logging-storage.ts'

const BYTES = 1 << 20

/** A storage whose requests take turns of the event loop, in any order, and fail when told to. */
class UnreliableStorage extends LoggingStorage {
  /** Fails the write, read or flush with this number from now on. */
  failAfter = Infinity
  readonly #below: (bound: number) => number
  failures = 0

  constructor(below: (bound: number) => number, content?: Uint8Array) {
    super(content)
    this.#below = below
  }

  async #turn(): Promise<void> {
    for (let turns = this.#below(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
    if (--this.failAfter >= 0) return
    this.failures++
    this.failAfter = Infinity
    throw new BlockError('ERR_NO_SPACE', 'the disk is full')
  }

  override async read(offset: number, into: Uint8Array): Promise<void> {
    await this.#turn()
    await super.read(offset, into)
  }

  override async write(offset: number, from: Uint8Array): Promise<void> {
    await this.#turn()
    await super.write(offset, from)
  }

  override async flush(): Promise<void> {
    await this.#turn()
    await super.flush()
  }
}

async function newImage(
  below: (bound: number) => number,
  clusterBytes: number,
): Promise<[UnreliableStorage, Qcow2Image]> {
  const storage = new UnreliableStorage(below)
  await createQcow2(storage, { bytes: BYTES, clusterBytes })
  return [storage, await Qcow2Image.open(storage, { cacheBytes: 4 * clusterBytes })]
}

describe('requests at the same time', () => {
  test.each([512, 4096, 65_536])('are all kept, in clusters of %d bytes', async (clusterBytes) => {
    for (let seed = 1; seed <= 4; seed++) {
      const below = numbers(seed)
      const [storage, image] = await newImage(below, clusterBytes)
      const sectors = 256
      const model = new Uint8Array(sectors)
      for (let round = 1; round <= 6; round++) {
        // Each sector is in one request at most: their order does not matter.
        const requests: Promise<void>[] = []
        for (let at = 0; at < sectors;) {
          const count = Math.min(sectors - at, 1 + below(6))
          const value = 1 + below(250)
          const what = below(10)
          const [offset, bytes] = [at * 512, count * 512]
          if (what < 6) {
            model.fill(value, at, at + count)
            requests.push(image.write(offset, new Uint8Array(bytes).fill(value)))
          } else if (what === 6) {
            model.fill(0, at, at + count)
            requests.push(image.writeZeroes(offset, bytes))
          } else if (what === 7) requests.push(image.flush())
          else requests.push(image.read(offset, new Uint8Array(bytes)))
          at += count
        }
        await Promise.all(requests)
        const content = new Uint8Array(sectors * 512)
        await image.read(0, content)
        expect(content.every((byte, i) => byte === model[i >> 9])).toBe(true)
        if (below(3) === 0) await image.discard(0, 128 * 512).then(() => model.fill(0, 0, 128))
      }
      await image.close()
      expect(await checkQcow2(storage)).toMatchObject({ corruptions: 0, leaks: 0 })
    }
  })
})

describe('a host that fails', () => {
  test('ends requests with an error; the next ones work, and the image is whole', async () => {
    for (let failAfter = 0; failAfter < 60; failAfter++) {
      const below = numbers(failAfter + 1)
      const [storage, image] = await newImage(below, 512)
      await image.write(0, new Uint8Array(8192).fill(1))
      await image.flush()
      storage.failAfter = failAfter
      const asked = [
        () => image.write(4096, new Uint8Array(65_536).fill(2)),
        () => image.flush(),
        () => image.discard(0, 2048),
        () => image.writeZeroes(131_072, 8192),
        () => image.flush(),
      ]
      for (const ask of asked) {
        await ask().catch((error: unknown) => expect(error).toMatchObject({ code: 'ERR_NO_SPACE' }))
      }
      storage.failAfter = Infinity
      await image.write(0, new Uint8Array(131_072).fill(3))
      await image.flush()
      expect(await checkQcow2(new LoggingStorage(storage.content))).toMatchObject({ corruptions: 0 })
      await image.close()
      const again = await Qcow2Image.open(storage)
      const content = new Uint8Array(131_072)
      await again.read(0, content)
      expect(content.every((byte) => byte === 3)).toBe(true)
      expect(await checkQcow2(storage)).toMatchObject({ corruptions: 0, leaks: 0 })
    }
  })
})

/** Counts the tables that are read, as requests of one cluster at some offsets. */
class CountingStorage extends LoggingStorage {
  readonly counted = new Set<number>()
  reads = 0

  override async read(offset: number, into: Uint8Array): Promise<void> {
    if (this.counted.has(offset)) this.reads++
    await super.read(offset, into)
  }
}

/** Offsets in a table of a qcow2 image, whose place and entries its header has at `field` and `entries`. */
function tableAt(content: Uint8Array, field: number, count: number): number[] {
  const view = new DataView(content.buffer, content.byteOffset)
  const offset = Number(view.getBigUint64(field))
  return Array.from({ length: count }, (_, i) => Number(view.getBigUint64(offset + i * 8) & 0xff_ffff_ffff_fe00n))
}

test('a new image is written in the sectors alone that are not zero', async () => {
  const storage = new LoggingStorage()
  storage.isLogging = true
  await createQcow2(storage, { bytes: 1 << 30, clusterBytes: 65_536 })
  // The refcount table, its block, the last sector, and the header when all else is there.
  const writes = storage.log.flatMap((entry) => (entry === null ? [] : [[entry.offset, entry.bytes.length]]))
  expect(writes).toEqual([
    [2 * 65_536, 512],
    [65_536, 512],
    [storage.bytes - 512, 512],
    [0, 512],
  ])
})

describe('of the memory for tables', () => {
  // 64 tables of 512 bytes: 48 L2 tables, each of 64 clusters, and 16 refcount blocks, each of 256.
  const options = { cacheBytes: 64 * 512 }
  const CLUSTER = 512
  const filled = async (clusters: number): Promise<CountingStorage> => {
    const storage = new CountingStorage()
    await createQcow2(storage, { bytes: 4 << 20, clusterBytes: CLUSTER })
    const image = await Qcow2Image.open(storage)
    await image.write(0, new Uint8Array(clusters * CLUSTER).fill(1))
    await image.close()
    return storage
  }

  test.each([false, true])('three quarters are for L2 tables (read-only: %s)', async (readOnly) => {
    const storage = await filled(49 * 64)
    for (const offset of tableAt(storage.content, 40, 49)) storage.counted.add(offset)
    Object.defineProperty(storage, 'readOnly', { value: readOnly })
    const image = await Qcow2Image.open(storage, options)
    const readsOf = async (tables: number): Promise<number> => {
      storage.reads = 0
      for (let i = 0; i < tables; i++) await image.read(i * 64 * CLUSTER, new Uint8Array(CLUSTER))
      return storage.reads
    }
    expect([await readsOf(48), await readsOf(48), await readsOf(49), await readsOf(49)]).toEqual([48, 0, 1, 49])
    await image.close()
  })

  test('a quarter is for refcount blocks', async () => {
    const storage = await filled(18 * 256)
    for (const offset of tableAt(storage.content, 48, 17)) storage.counted.add(offset)
    const header = await readHeader(storage)
    const { refcounts } = await openMetadata(storage, header, { ...options, snapshot: null })
    const readsOf = async (blocks: number): Promise<number> => {
      storage.reads = 0
      for (let i = 0; i < blocks; i++) expect(await refcounts.get(i * 256 * CLUSTER)).toBe(1)
      return storage.reads
    }
    expect([await readsOf(16), await readsOf(16), await readsOf(17), await readsOf(17)]).toEqual([16, 0, 1, 17])
  })
})

test('tables in memory stay within the limit', async () => {
  const storage = new LoggingStorage()
  await createQcow2(storage, { bytes: 64 << 20, clusterBytes: 512 })
  storage.isLogging = true
  const image = await Qcow2Image.open(storage, { cacheBytes: 16 * 512 })
  // One cluster for each of 2048 tables, and no flush.
  for (let at = 0; at < 64 << 20; at += 64 * 512) await image.write(at, new Uint8Array(512).fill(1))
  const tables = storage.log.filter((entry) => entry !== null && entry.bytes.length === 512 && entry.bytes[0]! >= 0x80)
  expect(tables.length).toBeGreaterThan(1900)
  await image.close()
})
