/** What an image says of itself, and what it asks of its storage. */
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockError } from '@retrap/device'
import { afterEach, describe, expect, test } from 'vitest'
import { MemoryStorage, Overlay, RawImage } from '../src/index.ts'
import { FileStorage } from '../src/node/file-storage.ts'
import { ofWriter } from '../src/node/file-lock.ts'

const path = join(tmpdir(), `retrap-raw-image-${process.pid}.img`)
afterEach(() => rmSync(path, { force: true }))

/** A storage that notes what it is asked. */
class NotingStorage extends MemoryStorage {
  readonly calls: string[] = []
  override async read(offset: number, into: Uint8Array): Promise<void> {
    this.calls.push(`read ${offset}+${into.length}`)
    await super.read(offset, into)
  }
  override async write(offset: number, from: Uint8Array): Promise<void> {
    this.calls.push(`write ${offset}+${from.length}`)
    await super.write(offset, from)
  }
  override async flush(): Promise<void> {
    this.calls.push('flush')
  }
  override async close(): Promise<void> {
    this.calls.push('close')
  }
}

const storage = (bytes: number): NotingStorage => new NotingStorage(new Uint8Array(bytes))

describe('the properties of an image', () => {
  const common = { maximumBytes: 0x10_0000, readOnly: false, discards: false }
  const geometry = { cylinders: 3, heads: 4, sectors: 5 }

  test.each([
    [{}, { bytes: 8704, blockBytes: 512, physicalBlockBytes: 512 }],
    [{ blockBytes: 4096 }, { bytes: 12_288, blockBytes: 4096, physicalBlockBytes: 4096 }],
    [{ physicalBlockBytes: 4096 }, { bytes: 8704, blockBytes: 512, physicalBlockBytes: 4096 }],
    [
      { serialNumber: 'S', geometry },
      { bytes: 8704, blockBytes: 512, physicalBlockBytes: 512, serialNumber: 'S', geometry },
    ],
  ] as const)('with the options %j', (options, expected) => {
    const { properties } = new RawImage(storage(8193), options)
    expect(properties).toEqual({ ...common, ...expected })
    expect(Object.keys(properties).sort()).toEqual(Object.keys({ ...common, ...expected }).sort())
  })

  test('an overlay’s are those of the image below, writable', () => {
    const { properties } = new Overlay(new RawImage(storage(512), { readOnly: true, serialNumber: 'S' }))
    expect(properties).toEqual({
      ...common,
      ...{ bytes: 512, blockBytes: 512, physicalBlockBytes: 512, serialNumber: 'S' },
    })
  })
})

describe('an image asks its storage', () => {
  test('for what it has alone: the rest of the last block is zeros', async () => {
    const made = storage(700)
    const image = new RawImage(made)
    await image.read(512, new Uint8Array(512))
    expect(made.calls).toEqual(['read 512+188'])
    const large = new RawImage(storage(1025), { blockBytes: 4096 })
    const into = new Uint8Array(4096).fill(1)
    await large.read(0, into)
    expect(into.every((byte) => byte === 0)).toBe(true)
  })

  test('to flush a durable change at once, and others when it is closed', async () => {
    const made = storage(1024)
    const image = new RawImage(made)
    await image.write(0, new Uint8Array(512))
    await image.write(0, new Uint8Array(512), { durable: false })
    expect(made.calls).toEqual(['write 0+512', 'write 0+512'])
    await image.write(512, new Uint8Array(512), { durable: true })
    expect(made.calls.splice(0)).toEqual(['write 0+512', 'write 0+512', 'write 512+512', 'flush'])
    await image.close()
    expect(made.calls.splice(0)).toEqual(['flush', 'close'])
    const readOnly = new RawImage(made, { readOnly: true })
    await readOnly.close()
    expect(made.calls).toEqual(['close'])
  })

  test('to write zeros in pieces of 64 KiB', async () => {
    const made = new NotingStorage(new Uint8Array(0x3_0000).fill(1))
    const image = new RawImage(made)
    await image.writeZeroes(512, 0x2_0200)
    const writes = (): string[] => made.calls.splice(0).filter((call) => call.startsWith('write'))
    expect(writes()).toEqual(['write 512+65536', 'write 66048+65536', 'write 131584+512'])
    // What is zero already is left alone, and with it the holes of a file.
    await image.write(0x1_0400, new Uint8Array(512).fill(1))
    made.calls.length = 0
    await image.writeZeroes(512, 0x2_0000)
    expect(writes()).toEqual(['write 66048+65536'])
    made.read = () => Promise.reject(new Error('a bad sector'))
    await image.writeZeroes(512, 512)
    expect(writes()).toEqual(['write 512+512'])
  })

  test('for zeros in a sparse file: its holes stay', async () => {
    writeFileSync(path, new Uint8Array(4096).fill(1))
    truncateSync(path, 8 << 20)
    const image = new RawImage(await FileStorage.open(path))
    await image.writeZeroes(0, 8 << 20)
    await image.close()
    expect(statSync(path).blocks * 512).toBeLessThanOrEqual(128 << 10)
    expect(readFileSync(path).every((byte) => byte === 0)).toBe(true)
  })

  test('for the pieces of an overlay: what was not written, in one read', async () => {
    const made = storage(0x4_0000)
    const overlay = new Overlay(new RawImage(made))
    await overlay.write(0x1_0000, new Uint8Array(0x1_0000).fill(1))
    expect([made.calls, overlay.heldBytes]).toEqual([[], 0x1_0000])
    await overlay.read(0, new Uint8Array(0x4_0000))
    expect(made.calls.splice(0)).toEqual(['read 0+65536', 'read 131072+131072'])
    await overlay.write(0x2_0200, new Uint8Array(512))
    expect(made.calls.splice(0)).toEqual(['read 131072+65536'])
    await overlay.close()
    expect([made.calls, overlay.heldBytes]).toEqual([['flush', 'close'], 0])
  })

  test('below an overlay for no more than it takes, in whole blocks', async () => {
    const made = storage(8192)
    const image = new RawImage(made)
    const asked: string[] = []
    const below = {
      ...{ write: () => image.idle(), flush: () => image.idle(), discard: () => image.idle() },
      ...{ writeZeroes: () => image.idle(), onChange: () => () => {} },
      properties: { ...image.properties, maximumBytes: 2047 },
      read: (offset: number, into: Uint8Array) => (asked.push(`${offset}+${into.length}`), image.read(offset, into)),
    }
    const overlay = new Overlay(below)
    await overlay.read(512, new Uint8Array(4096))
    expect(asked.splice(0)).toEqual(['512+1536', '2048+1536', '3584+1024'])
    await overlay.read(0, new Uint8Array(1536))
    expect(asked).toEqual(['0+1536'])
    // A back end that is not closed by the overlay, because it has no way to be.
    await overlay.close()
    expect(made.calls).not.toContain('close')
  })
})

describe('a file of the host', () => {
  test('grows by what is written behind its end, and by no more', async () => {
    writeFileSync(path, new Uint8Array(100))
    const file = await FileStorage.open(path)
    expect(file.bytes).toBe(100)
    await file.write(10, Uint8Array.of(1, 2, 3))
    expect(file.bytes).toBe(100)
    await file.write(98, Uint8Array.of(4, 5, 6))
    expect(file.bytes).toBe(101)
    const into = new Uint8Array(4)
    await file.read(97, into)
    expect([...into]).toEqual([0, 4, 5, 6])
    await expect(file.read(97, new Uint8Array(5))).rejects.toThrow('the file ends before byte 102')
    await file.close()
    expect(readFileSync(path)).toHaveLength(101)
    const readOnly = await FileStorage.open(path, { readOnly: true })
    expect([file.readOnly, readOnly.readOnly]).toEqual([false, true])
    // The host refuses it itself: the file is not open for writing.
    await expect(readOnly.write(0, Uint8Array.of(1))).rejects.toThrow(BlockError)
    await readOnly.close()
  })
})

describe('a lock of the kernel', () => {
  // QEMU locks bytes from 100 on for permissions that it uses, and from 200 on for those that it denies to others.
  test.each([
    ['OFDLCK READ', true, '101-101 100-101 100-199 101-103'],
    ['OFDLCK READ', false, '100-100 102-103 201-201 99-101 100-200 0-Infinity'],
    ['POSIX READ', false, '101-101'],
    ['FLOCK WRITE', true, '0-Infinity'],
  ])('%s is a writer’s: %s, on %s', (lock, writer, ranges) => {
    const [kind, access] = lock.split(' ') as [string, string]
    for (const [start, end] of ranges.split(' ').map((range) => range.split('-').map(Number) as [number, number]))
      expect(ofWriter({ kind, access, start, end }), `${start}`).toBe(writer)
  })
})

describe('requests in place', () => {
  /** Does at once what others wait for, as long as it may. */
  class QuickStorage extends NotingStorage {
    mayWait = false
    readInPlace(offset: number, into: Uint8Array): boolean {
      if (this.mayWait) return false
      void this.read(offset, into)
      return true
    }
    writeInPlace(offset: number, from: Uint8Array): boolean {
      if (this.mayWait) return false
      void this.write(offset, from)
      return true
    }
  }

  test('reach the storage, and what lies behind its end reads as zeros', () => {
    const quick = new QuickStorage(new Uint8Array(700).fill(5))
    const image = new RawImage(quick)
    const into = new Uint8Array(1024).fill(9)
    expect(image.readInPlace(0, into)).toBe(true)
    expect(into).toEqual(new Uint8Array(1024).fill(5, 0, 700))
    expect(image.writeInPlace(0, new Uint8Array(512))).toBe(true)
    expect(quick.calls).toEqual(['read 0+700', 'write 0+512'])
  })

  test('are not made where the storage would wait, or cannot', () => {
    const quick = new QuickStorage(new Uint8Array(512))
    quick.mayWait = true
    for (const one of [quick, storage(512)]) {
      const image = new RawImage(one)
      expect(image.readInPlace(0, new Uint8Array(512))).toBe(false)
      expect(image.writeInPlace(0, new Uint8Array(512))).toBe(false)
      expect(one.calls).toEqual([])
    }
  })

  test('are refused as others are', async () => {
    const quick = new QuickStorage(new Uint8Array(512))
    const image = new RawImage(quick)
    const readOnly = new RawImage(quick, { readOnly: true })
    const sector = new Uint8Array(512)
    expect(() => image.readInPlace(512, sector)).toThrow(expect.objectContaining({ code: 'ERR_RANGE' }))
    expect(() => image.writeInPlace(1, sector)).toThrow(expect.objectContaining({ code: 'ERR_RANGE' }))
    expect(() => readOnly.writeInPlace(0, sector)).toThrow(expect.objectContaining({ code: 'ERR_READ_ONLY' }))
    await image.close()
    expect(() => image.readInPlace(0, sector)).toThrow(expect.objectContaining({ code: 'ERR_NO_MEDIUM' }))
    expect(quick.calls).toEqual(['flush', 'close'])
  })

  test('of a file move its bytes', async () => {
    writeFileSync(path, new Uint8Array(1024).fill(3))
    const file = await FileStorage.open(path)
    try {
      const into = new Uint8Array(512)
      // A file system that may have to be waited for has none.
      if (!file.readInPlace(512, into)) return
      expect(into).toEqual(new Uint8Array(512).fill(3))
      expect(file.writeInPlace(1024, new Uint8Array(512).fill(4))).toBe(true)
      expect(file.bytes).toBe(1536)
      expect([...readFileSync(path).subarray(1023, 1026)]).toEqual([3, 4, 4])
      expect(() => file.readInPlace(1536, into)).toThrow(expect.objectContaining({ code: 'ERR_MEDIUM' }))
    } finally {
      await file.close()
    }
  })
})
