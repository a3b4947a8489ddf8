/** An image that is looked at as it was, while it is written. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { CopyBeforeWrite, type BlockImage, MemoryStorage, Overlay, RawImage } from '../src/index.ts'

const SECTORS = 512
const CLUSTERED = SECTORS * 512

/** Random numbers that can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test('each instant keeps its contents, whatever is written at the same time', async () => {
  const seed = (Math.random() * 2 ** 32) >>> 0
  const random = randomOf(seed)
  const slow = new RawImage(new MemoryStorage(new Uint8Array(CLUSTERED)))
  const disk = new CopyBeforeWrite({
    properties: { ...slow.properties, maximumBytes: 8192 },
    read: async (offset, into) => {
      await turns(random(3))
      await slow.read(offset, into)
      await turns(random(3))
    },
    write: async (offset, from) => {
      await turns(random(3))
      await slow.write(offset, from)
    },
    flush: () => slow.flush(),
    discard: (offset, bytes) => slow.discard(offset, bytes),
    writeZeroes: (offset, bytes) => slow.writeZeroes(offset, bytes),
    onChange: () => () => undefined,
  })
  const now = new Uint8Array(CLUSTERED)
  const instants: { image: BlockImage; bytes: Uint8Array }[] = []
  for (let step = 1; step < 60; step++) {
    const under: Promise<unknown>[] = []
    for (let i = 0; i < 3; i++) {
      const offset = (i * 170 + random(160)) * 512
      const bytes = new Uint8Array(512 * (1 + random(8))).fill(random(4) === 0 ? 0 : step)
      now.set(bytes, offset)
      under.push(bytes[0] === 0 ? disk.writeZeroes(offset, bytes.length) : disk.write(offset, bytes))
    }
    for (const { image, bytes } of instants) {
      const offset = random(400) * 512
      const into = new Uint8Array(512 * (1 + random(16)))
      const read = image.read(offset, into)
      under.push(read.then(() => expect(into, `seed ${seed}`).toEqual(bytes.slice(offset, offset + into.length))))
    }
    await Promise.all(under)
    if (random(5) === 0) instants.push({ image: disk.freeze(), bytes: now.slice() })
    if (random(8) === 0) await instants.shift()?.image.close()
  }
})

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

test('nothing is copied while nobody looks, and an instant cannot be written', async () => {
  const disk = new CopyBeforeWrite(new RawImage(new MemoryStorage(new Uint8Array(CLUSTERED))))
  let reads = 0
  const { base } = disk
  const read = base.read.bind(base)
  base.read = (...given) => {
    reads++
    return read(...given)
  }
  await disk.write(0, new Uint8Array(512).fill(1))
  expect(reads).toBe(0)
  const image = disk.freeze()
  await expect(image.write(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
  await disk.write(0, new Uint8Array(512).fill(2))
  expect(reads).toBe(1)
  await image.close()
  await disk.write(65_536, new Uint8Array(512).fill(2))
  expect(reads).toBe(1)
})

test('where old contents cannot be read, the write is made, and who looks hears of it', async () => {
  const slow = new RawImage(new MemoryStorage(new Uint8Array(CLUSTERED)))
  const disk = new CopyBeforeWrite(slow)
  const image = disk.freeze()
  const read = slow.read.bind(slow)
  slow.read = () => Promise.reject(new Error('no'))
  await disk.write(0, new Uint8Array(512).fill(1))
  slow.read = read
  const bytes = new Uint8Array(512)
  await disk.read(0, bytes)
  expect(bytes[0]).toBe(1)
  await expect(image.read(0, bytes)).rejects.toMatchObject({ code: 'ERR_MEDIUM' })
})

test('an overlay says that discards free storage where it is told to', () => {
  const disk = new RawImage(new MemoryStorage(new Uint8Array(CLUSTERED)))
  expect(new Overlay(disk, { discards: true }).properties.discards).toBe(true)
  expect(new Overlay(disk).properties.discards).toBe(false)
})
