import { deflateRawSync } from 'node:zlib'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { checkQcow2, createQcow2, Qcow2Image } from '../../src/index.ts'
import { STREAMS_CODEC } from '../../src/qcow2/codec.ts'
import { NODE_CODEC } from '../../src/node/codec.ts'
import { LoggingStorage } from '../support/logging-storage.ts'

afterEach(() => void vi.unstubAllGlobals())

const CLUSTER = 4096

/** Bytes of which so many have no pattern. */
function content(noise: number, seed = 1): Uint8Array {
  let state = seed
  return Uint8Array.from({ length: CLUSTER }, (_, i) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return i < noise ? state >>> 24 : 0
  })
}

/** Content that is so long when it is compressed as our codec does it. */
function contentOfLength(bytes: number): Uint8Array {
  for (let seed = 1; seed < 50; seed++) {
    for (let noise = bytes - 64; noise <= bytes; noise++) {
      if (deflateRawSync(content(noise, seed), { windowBits: 12 }).length === bytes) return content(noise, seed)
    }
  }
  throw new Error(`no content has ${bytes} bytes`)
}

async function newImage(): Promise<readonly [LoggingStorage, Qcow2Image]> {
  const storage = new LoggingStorage()
  await createQcow2(storage, { bytes: 16 * CLUSTER, clusterBytes: CLUSTER })
  return [storage, await Qcow2Image.open(storage, { codec: NODE_CODEC })]
}

describe('a cluster that is to be compressed', () => {
  // The description of its length has room for less than a cluster: seven more sectors than the first one.
  test.each([
    [100, 'compressed'],
    [CLUSTER - 513, 'compressed'],
    [CLUSTER - 512, 'data'],
    [CLUSTER - 400, 'data'],
  ] as const)('of %d bytes is kept as %s, wherever the one before it ends', async (bytes, kind) => {
    const [storage, image] = await newImage()
    const clusters = [contentOfLength(bytes), contentOfLength(300), contentOfLength(bytes), contentOfLength(bytes)]
    for (const [i, each] of clusters.entries()) await image.writeCompressed(i * CLUSTER, each)
    expect((await image.extentAt(0)).kind).toBe(kind)
    expect((await image.extentAt(CLUSTER)).kind).toBe('compressed')
    const read = new Uint8Array(4 * CLUSTER)
    await image.read(0, read)
    expect(read).toEqual(Uint8Array.from(clusters.flatMap((each) => [...each])))
    await image.close()
    expect(await checkQcow2(storage)).toMatchObject({ corruptions: 0, leaks: 0 })
  })
})

test('compressed clusters share a cluster of the file, as long as there is room', async () => {
  const [storage, image] = await newImage()
  const places: number[] = []
  for (let i = 0; i < 12; i++) {
    await image.writeCompressed(i * CLUSTER, content(800))
    places.push(Math.ceil(storage.content.length / CLUSTER))
  }
  await image.close()
  // Some 10,000 bytes; each for itself would take eleven more.
  expect(places.at(-1)! - places[0]!).toBeLessThan(5)
  expect(await checkQcow2(storage)).toMatchObject({ corruptions: 0, leaks: 0 })
})

describe('Compression Streams', () => {
  test('are read until enough has come', async () => {
    let reads = 0
    const cancel = vi.fn<() => Promise<void>>(async () => {})
    class Endless {
      readonly writable = { getWriter: () => ({ write: async () => {}, close: async () => {} }) }
      readonly readable = {
        getReader: () => ({ read: async () => ({ done: false, value: new Uint8Array(100).fill(++reads) }), cancel }),
      }
    }
    vi.stubGlobal('DecompressionStream', Endless)
    const bytes = await STREAMS_CODEC.inflate!(new Uint8Array(0), 300)
    expect([reads, bytes.length, bytes[0], bytes[100], bytes[299]]).toEqual([3, 300, 1, 2, 3])
    expect((await STREAMS_CODEC.inflate!(new Uint8Array(0), 250)).length).toBe(250)
    expect([reads, cancel.mock.calls.length]).toEqual([6, 2])
  })

  test('that end early, or break, give what there is', async () => {
    const whole = content(1000)
    const data = deflateRawSync(whole)
    expect(await STREAMS_CODEC.inflate!(data, CLUSTER)).toEqual(whole)
    expect(await STREAMS_CODEC.inflate!(Uint8Array.of(...data, 1, 2, 3), CLUSTER)).toEqual(whole)
    expect((await STREAMS_CODEC.inflate!(data, 2 * CLUSTER)).length).toBe(CLUSTER)
    expect((await STREAMS_CODEC.inflate!(Uint8Array.of(0xff, 0xff), CLUSTER)).length).toBe(0)
    vi.stubGlobal('DecompressionStream', undefined)
    await expect(STREAMS_CODEC.inflate!(data, 1)).rejects.toThrow('this host cannot decompress')
  })
})
