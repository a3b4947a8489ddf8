import { spawnSync } from 'node:child_process'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type BlockBackend, BlockError } from '@retrap/device'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import * as block from '../src/index.ts'
import { FileStorage, openImage } from '../src/node/index.ts'
import { LoggingStorage } from './support/logging-storage.ts'

const folder = temporaryFolder('block')

const SECTORS = 600
const BYTES = SECTORS * 512
let files = 0

/** A file with this content. */
function file(content: Uint8Array): string {
  const path = join(folder, `${files++}.img`)
  writeFileSync(path, content)
  return path
}

/** Each kind of image, over a copy of this content. */
const KINDS: Readonly<Record<string, (content: Uint8Array) => Promise<block.BlockImage>>> = {
  memory: async (content) => new block.RawImage(new block.MemoryStorage(content.slice())),
  file: (content) => openImage(file(content)),
  overlay: async (content) =>
    new block.Overlay(new block.RawImage(new block.MemoryStorage(content.slice(), { readOnly: true }))),
  'overlay of small transfers': async (content) =>
    new block.Overlay(smallTransfers(new block.RawImage(new block.MemoryStorage(content.slice())), 4096 + 100)),
  qcow2: (content) => qcow2(content, false),
  'qcow2 over a raw image': (content) => qcow2(content, true),
  'snapshot of a file': (content) => openImage(file(content), { snapshot: true }),
}

/** An image of small clusters with this content, of its own or below it. */
async function qcow2(content: Uint8Array, isBelow: boolean): Promise<block.BlockImage> {
  const storage = new LoggingStorage()
  const below = isBelow ? content : new Uint8Array(0)
  const backing = { name: 'below', format: 'raw' }
  await block.createQcow2(storage, { bytes: content.length, clusterBytes: 1024, ...(isBelow && { backing }) })
  const openBacking = async (): Promise<block.BlockImage> =>
    new block.RawImage(new block.MemoryStorage(below, { readOnly: true }))
  const image = await block.Qcow2Image.open(storage, { openBacking, cacheBytes: 4096 })
  if (!isBelow) await image.write(0, content)
  return image
}

/** A callback for each byte would be most of what a test takes. */
function pattern(bytes: number): Uint8Array {
  const made = new Uint8Array(bytes)
  for (let i = 0; i < bytes; i++) made[i] = i * 7 + (i >> 9)
  return made
}
const code = (what: string): unknown => expect.objectContaining({ code: what })

/** A storage that takes a turn of the event loop for everything, so that requests overlap. */
class SlowStorage extends block.MemoryStorage implements block.BlockStorage {
  override async read(offset: number, into: Uint8Array): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    await super.read(offset, into)
  }
}

/** A storage with sectors that cannot be read, and a back end that says how much it takes at a time. */
class PoorStorage extends SlowStorage {
  isBad = false
  override async read(offset: number, into: Uint8Array): Promise<void> {
    if (this.isBad) throw new BlockError('ERR_MEDIUM', 'bad sectors')
    await super.read(offset, into)
  }
}

/** An image that takes no more than this at a time. */
function smallTransfers(image: block.RawImage, maximumBytes: number): BlockBackend {
  const refuse = (): Promise<void> => Promise.reject(new Error('it is too much'))
  return {
    properties: { ...image.properties, maximumBytes },
    read: (offset, into, request) => (into.length > maximumBytes ? refuse() : image.read(offset, into, request)),
    write: refuse,
    flush: refuse,
    discard: refuse,
    writeZeroes: refuse,
    onChange: () => () => {},
  }
}

describe.each(Object.entries(KINDS))('an image: %s', (_name, make) => {
  const range = fc.record({ at: fc.nat(SECTORS - 1), count: fc.integer({ min: 1, max: 300 }) })
  const steps = fc.array(
    fc.record({ range, what: fc.constantFrom('read', 'write', 'zero', 'flush'), value: fc.nat(255) }),
  )

  test('reads what was written, whatever was done before', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (done) => {
        const model = pattern(BYTES)
        const image = await make(model)
        for (const {
          range: { at, count },
          what,
          value,
        } of done) {
          const offset = at * 512
          const bytes = Math.min(count * 512, BYTES - offset)
          if (what === 'write') {
            model.fill(value, offset, offset + bytes)
            await image.write(offset, new Uint8Array(bytes).fill(value), { durable: value > 200 })
          } else if (what === 'zero') {
            model.fill(0, offset, offset + bytes)
            await image.writeZeroes(offset, bytes)
          } else if (what === 'flush') await image.flush()
          else {
            const into = new Uint8Array(bytes)
            await image.read(offset, into)
            expect(Buffer.compare(into, model.subarray(offset, offset + bytes))).toBe(0)
          }
        }
        const all = new Uint8Array(BYTES)
        await image.read(0, all)
        await image.close()
        expect(Buffer.compare(all, model)).toBe(0)
      }),
      { numRuns: slicedCount(25, 3) },
    )
  })

  test.each([
    { offset: 1, bytes: 512 },
    { offset: 0, bytes: 511 },
    { offset: -512, bytes: 512 },
    { offset: BYTES, bytes: 512 },
    { offset: BYTES - 512, bytes: 1024 },
    { offset: Number.NaN, bytes: 512 },
    { offset: 2 ** 60, bytes: 512 },
  ])('refuses $bytes bytes at $offset', async ({ offset, bytes }) => {
    const image = await make(pattern(BYTES))
    await expect(image.read(offset, new Uint8Array(bytes))).rejects.toThrow(code('ERR_RANGE'))
    await expect(image.write(offset, new Uint8Array(bytes))).rejects.toThrow(code('ERR_RANGE'))
    await expect(image.writeZeroes(offset, bytes)).rejects.toThrow(code('ERR_RANGE'))
    await expect(image.discard(offset, bytes)).rejects.toThrow(code('ERR_RANGE'))
    await image.close()
  })

  test('a cancelled request changes nothing, and after close there is no medium', async () => {
    const image = await make(pattern(BYTES))
    const signal = AbortSignal.abort()
    await expect(image.write(0, new Uint8Array(512), { signal })).rejects.toThrow(code('ERR_CANCELLED'))
    const sector = new Uint8Array(512)
    await image.read(0, sector)
    expect(sector).toEqual(pattern(512))
    await image.close()
    await image.close()
    await expect(image.flush()).rejects.toThrow(code('ERR_NO_MEDIUM'))
  })
})

test('writes that overlap in one cluster of an overlay are all kept, and idle waits for them', async () => {
  const content = pattern(256 << 10)
  const overlay = new block.Overlay(new block.RawImage(new SlowStorage(content)))
  const writes = Array.from({ length: 512 }, (_, i) => overlay.write(i * 512, new Uint8Array(512).fill(i & 0xff)))
  let ended = 0
  for (const write of writes) void write.then(() => ended++)
  await overlay.idle()
  await new Promise((resolve) => setImmediate(resolve))
  expect(ended).toBe(512)
  const into = new Uint8Array(content.length)
  await overlay.read(0, into)
  expect(into.every((value, i) => value === ((i >> 9) & 0xff))).toBe(true)
  expect(Buffer.compare(content, pattern(256 << 10))).toBe(0)
})

test('an overlay copies what the guest writes to, and nothing else', async () => {
  const content = pattern(1 << 20)
  const overlay = new block.Overlay(new block.RawImage(new block.MemoryStorage(content)))
  await overlay.read(0, new Uint8Array(1 << 20))
  expect(overlay.heldBytes).toBe(0)
  await overlay.write(65_536 - 512, new Uint8Array(1024))
  expect(overlay.heldBytes).toBe(128 << 10)
  expect(Buffer.compare(content, pattern(1 << 20))).toBe(0)
})

describe('a write of a whole cluster of an overlay', () => {
  const BIG = 65_536
  // The last cluster of the image is short.
  test.each([
    { at: BIG, bytes: BIG },
    { at: 2 * BIG, bytes: 1024 },
  ])('needs nothing from below: $bytes bytes at $at', async ({ at, bytes }) => {
    const storage = new PoorStorage(pattern(2 * BIG + 1024))
    const overlay = new block.Overlay(new block.RawImage(storage))
    storage.isBad = true
    await overlay.write(at, new Uint8Array(bytes).fill(3))
    const into = new Uint8Array(bytes)
    await overlay.read(at, into)
    expect(into.every((value) => value === 3)).toBe(true)
    await expect(overlay.write(0, new Uint8Array(BIG - 512))).rejects.toThrow(code('ERR_MEDIUM'))
    await expect(overlay.write(512, new Uint8Array(BIG - 512))).rejects.toThrow(code('ERR_MEDIUM'))
  })

  test('is not lost to a copy that began before it', async () => {
    const overlay = new block.Overlay(new block.RawImage(new SlowStorage(pattern(BIG))))
    const part = overlay.write(512, new Uint8Array(512).fill(3))
    await overlay.write(0, new Uint8Array(BIG).fill(3))
    await part
    const into = new Uint8Array(BIG)
    await overlay.read(0, into)
    expect(into.every((value) => value === 3)).toBe(true)
  })
})

/** Holds nines, and takes nothing. */
const NOTHING: block.BlockStorage = {
  bytes: 0,
  readOnly: true,
  read: async (_offset, into) => void into.fill(9),
  write: async () => {},
  flush: async () => {},
  close: async () => {},
}

describe('zeros of an overlay', () => {
  const BIG = 65_536

  test('take no memory, however large the disk', async () => {
    const storage = { ...NOTHING, bytes: 2 ** 42 }
    const overlay = new block.Overlay(new block.RawImage(storage))
    await overlay.write(0, new Uint8Array(2 * BIG).fill(3))
    await overlay.writeZeroes(512, 2 ** 36)
    expect(overlay.heldBytes).toBe(2 * BIG)
    const into = new Uint8Array(BIG)
    await overlay.read(BIG, into)
    expect(into.every((value) => value === 0)).toBe(true)
    await overlay.write(2 * BIG + 512, new Uint8Array(512).fill(4))
    await overlay.read(2 * BIG, into)
    expect(into.every((value, at) => value === (at >= 512 && at < 1024 ? 4 : 0))).toBe(true)
    await overlay.read(2 ** 36 + BIG, into)
    expect(into.every((value) => value === 9)).toBe(true)
    await overlay.close()
  })

  test('are not lost to a copy that began before them', async () => {
    const overlay = new block.Overlay(new block.RawImage(new SlowStorage(pattern(BIG))))
    const part = overlay.write(512, new Uint8Array(512))
    await overlay.writeZeroes(0, BIG)
    await part
    const into = new Uint8Array(BIG)
    await overlay.read(0, into)
    expect(into.every((value) => value === 0)).toBe(true)
  })
})

test('what was written to an overlay is saved, and put back over the same image and in place of later writes', async () => {
  const BIG = 5 * 65_536 + 1024
  const change = fc.tuple(
    fc.constantFrom('write', 'writeZeroes'),
    fc.nat(BIG / 512 - 1),
    fc.nat(300),
    fc.integer({ min: 1, max: 255 }),
  )
  const apply = async (
    image: block.Overlay,
    changes: readonly (readonly [string, number, number, number])[],
  ): Promise<void> => {
    for (const [what, sector, sectors, value] of changes) {
      const bytes = Math.min(sectors * 512, BIG - sector * 512)
      const isWrite = what === 'write'
      await (isWrite
        ? image.write(sector * 512, new Uint8Array(bytes).fill(value))
        : image.writeZeroes(sector * 512, bytes))
    }
  }
  const contents = async (image: block.Overlay): Promise<Buffer> => {
    const into = Buffer.alloc(BIG)
    await image.read(0, into)
    return into
  }
  const make = (): block.Overlay =>
    new block.Overlay(new block.RawImage(new block.MemoryStorage(pattern(BIG), { readOnly: true })))
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 6 }), fc.array(change, { maxLength: 6 }), async (before, after) => {
      const overlay = make()
      await apply(overlay, before)
      const saved = await contents(overlay)
      const state = overlay.save()
      await apply(overlay, after)
      overlay.restore(state)
      const other = make()
      other.restore(state)
      expect(saved.equals(await contents(overlay))).toBe(true)
      expect(saved.equals(await contents(other))).toBe(true)
    }),
    { numRuns: slicedCount(60, 3) },
  )
})

test('saved writes of another disk, or damaged ones, are refused, and change nothing', async () => {
  const overlay = new block.Overlay(new block.RawImage(new block.MemoryStorage(pattern(4096))))
  await overlay.write(0, new Uint8Array(512).fill(5))
  const state = overlay.save()
  for (const bad of [
    { ...state, diskBytes: 8192 },
    { ...state, version: 2 as 1 },
    { ...state, bytes: state.bytes.subarray(1) },
    { ...state, clusters: Uint32Array.of(1) },
    { ...state, zeroes: Uint32Array.of(7) },
  ]) {
    expect(() => overlay.checkState(bad)).toThrow(code('ERR_FORMAT'))
    expect(() => overlay.restore(bad)).toThrow(code('ERR_FORMAT'))
  }
  const into = new Uint8Array(512)
  await overlay.read(0, into)
  expect(into[0]).toBe(5)
})

test('memory does not grow, and says so', async () => {
  const memory = new Uint8Array(1000)
  const image = new block.RawImage(new block.MemoryStorage(memory))
  await image.write(0, new Uint8Array(512).fill(1))
  await expect(image.write(512, new Uint8Array(512).fill(1))).rejects.toThrow(
    expect.objectContaining({ name: 'BlockError', code: 'ERR_NO_SPACE' }),
  )
  expect(memory.subarray(512).every((value) => value === 0)).toBe(true)
})

test('a read-only image refuses every change', async () => {
  for (const image of [
    new block.RawImage(new block.MemoryStorage(new Uint8Array(4096), { readOnly: true })),
    new block.RawImage(new block.MemoryStorage(new Uint8Array(4096)), { readOnly: true }),
    await openImage(file(new Uint8Array(4096)), { readOnly: true }),
  ]) {
    expect(image.properties.readOnly).toBe(true)
    const refused = code('ERR_READ_ONLY')
    await expect(image.write(0, new Uint8Array(512))).rejects.toThrow(refused)
    await expect(image.writeZeroes(0, 512)).rejects.toThrow(refused)
    await expect(image.discard(0, 512)).rejects.toThrow(refused)
    await image.flush()
    await image.close()
  }
})

describe('a file', () => {
  test('whose size is no multiple of a block reads zeros behind its end, and grows when they are written', async () => {
    const path = file(pattern(700))
    const image = await openImage(path)
    expect(image.properties.bytes).toBe(1024)
    const into = new Uint8Array(1024).fill(0xee)
    await image.read(0, into)
    expect(into.subarray(0, 700)).toEqual(pattern(700))
    expect(into.subarray(700).every((value) => value === 0)).toBe(true)
    await image.write(512, new Uint8Array(512).fill(9))
    await image.close()
    expect(readFileSync(path)).toHaveLength(1024)
  })

  test('that was cut while it was open gives an error of the medium', async () => {
    const path = file(pattern(8192))
    const image = await openImage(path)
    truncateSync(path, 4096)
    await image.read(0, new Uint8Array(4096))
    await expect(image.read(4096, new Uint8Array(512))).rejects.toThrow(code('ERR_MEDIUM'))
    await image.close()
  })

  test('whose host has failed to make it durable never says again that it is', async () => {
    const path = file(new Uint8Array(4096))
    const image = await openImage(path)
    const probe = await open(path)
    const handles = Object.getPrototypeOf(probe) as typeof probe
    await probe.close()
    const failing = vi.spyOn(handles, 'datasync').mockRejectedValueOnce(Object.assign(new Error(), { code: 'EIO' }))
    await image.write(0, new Uint8Array(512).fill(1))
    await expect(image.flush()).rejects.toThrow(code('ERR_MEDIUM'))
    await expect(image.flush()).rejects.toThrow(code('ERR_MEDIUM'))
    await expect(image.write(0, new Uint8Array(512), { durable: true })).rejects.toThrow(code('ERR_MEDIUM'))
    await expect(image.close()).rejects.toThrow(code('ERR_MEDIUM'))
    failing.mockRestore()
    await (await openImage(path)).close()
  })

  test('that cannot be made as large as wanted keeps its content', async () => {
    const path = file(pattern(4096))
    const probe = await open(path)
    const handles = Object.getPrototypeOf(probe) as typeof probe
    await probe.close()
    const truncate = Reflect.get(handles, 'truncate') as (this: typeof probe, bytes: number) => Promise<void>
    const limited = vi.spyOn(handles, 'truncate').mockImplementation(function (this: typeof probe, bytes = 0) {
      if (bytes > 1 << 20) return Promise.reject(Object.assign(new Error(), { code: 'EFBIG' }))
      return truncate.call(this, bytes)
    })
    await expect(FileStorage.create(path, 1 << 21)).rejects.toThrow(code('ERR_NO_SPACE'))
    limited.mockRestore()
    expect(new Uint8Array(readFileSync(path))).toEqual(pattern(4096))
  })

  test('holds what was written when its image is closed', async () => {
    const path = file(new Uint8Array(4096))
    const image = await openImage(path)
    void image.write(1024, new Uint8Array(512).fill(5))
    await image.close()
    expect(
      readFileSync(path)
        .subarray(1024, 1536)
        .every((value) => value === 5),
    ).toBe(true)
  })

  test.each([
    { path: join(folder, 'absent.img'), message: 'there is no such file' },
    { path: folder, message: 'it is a directory' },
    { path: '/dev/zero', message: 'it is not a regular file' },
  ])('$path is refused: $message', async ({ path, message }) => {
    await expect(openImage(path)).rejects.toThrow(expect.objectContaining({ code: 'ERR_OPEN', name: 'ImageError' }))
    await expect(openImage(path)).rejects.toThrow(message)
  })

  test('that is a FIFO is refused at once, although nobody writes to it', async () => {
    const path = join(folder, 'fifo')
    expect(spawnSync('mkfifo', [path]).status).toBe(0)
    for (const readOnly of [true, false]) {
      await expect(openImage(path, { readOnly })).rejects.toThrow('it is not a regular file')
    }
  })

  test.each([{ blockBytes: 513 }, { physicalBlockBytes: 700 }, { blockBytes: 4096, physicalBlockBytes: 512 }])(
    'options %o are refused, and the file is free again',
    async (options) => {
      const path = file(new Uint8Array(4096))
      await expect(openImage(path, options as object)).rejects.toThrow(code('ERR_OPTION'))
      await (await openImage(path)).close()
    },
  )
})
