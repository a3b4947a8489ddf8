import { P2mType } from '@retrap/p2m'
import { beforeEach, describe, expect, test } from 'vitest'
import type { MapCache, WritableMapping } from '../src/index.ts'
import { codeOf, createGuest, type Guest } from './support/guest.ts'

let guest: Guest
let cache: MapCache

beforeEach(() => {
  guest = createGuest()
  cache = guest.cache({ development: true })
  guest.ram(0x10)
  guest.ram(0x11, 1, P2mType.RAM_RO)
})

describe('the development mode', () => {
  test('carries what was written to memory, and leaves what the guest wrote meanwhile', () => {
    const ma = guest.mfn(0x10) * 4096
    const mapping = cache.mapForWriting(0x1_0000, 16)
    mapping.bytes[3] = 3
    guest.memory.u8[ma + 4] = 4
    expect(guest.memory.u8[ma + 3]).toBe(0)
    const seen = new Uint8Array(6)
    mapping.read(0, seen)
    expect([...seen]).toEqual([0, 0, 0, 3, 4, 0])
    mapping.write(5, Uint8Array.of(5))
    expect(mapping.bytes[5]).toBe(5)
    mapping.bytes[6] = 6
    mapping.release()
    expect([...guest.memory.read(ma, 8)]).toEqual([0, 0, 0, 3, 4, 5, 6, 0])
  })

  test('poisons views that were kept, and finds those that are written', () => {
    const mapping = cache.mapForWriting(0x1_0020, 4)
    const kept = mapping.bytes
    mapping.release()
    expect([...kept]).toEqual([0xdb, 0xdb, 0xdb, 0xdb])
    expect(cache.keptViews()).toEqual([])
    kept[1] = 1
    expect(cache.keptViews()).toEqual([{ gpa: 0x1_0020, length: 4 }])
    expect(guest.memory.u8[guest.mfn(0x10) * 4096 + 0x21]).toBe(0)
  })

  test('watches the last 64 views', () => {
    expect(cache.statistics).toEqual({
      ...{ shortcutHits: 0, hits: 0, misses: 0, evictions: 0, invalidations: 0, delayed: 0 },
      ...{ buckets: 0, validPages: 0, held: 0, mostHeld: 0 },
    })
    const kept = Array.from({ length: 66 }, (_, i) => {
      const mapping = cache.mapForWriting(0x1_0000 + i, 1)
      const { bytes } = mapping
      mapping.release()
      return bytes
    })
    for (const bytes of kept) bytes[0] = 1
    expect(cache.keptViews().map(({ gpa }) => gpa)).toEqual(Array.from({ length: 64 }, (_, i) => 0x1_0002 + i))
    expect(cache.statistics).toMatchObject({ held: 0, mostHeld: 1 })
  })

  test('finds who wrote through a mapping for reading; memory stays as it was', () => {
    const mapping = cache.map(0x1_0000, 4)
    ;(mapping as WritableMapping).bytes[0] = 1
    expect(codeOf(() => mapping.release())).toBe('ERR_READ_ONLY')
    expect([mapping.held, guest.memory.u8[guest.mfn(0x10) * 4096]]).toEqual([false, 0])
    expect(codeOf(() => cache.map(0x1_0000, 4).release())).toBe('none')
  })

  test('discards writes to ROM like the other mode', () => {
    const mapping = cache.mapForWriting(0x1_1000, 4)
    mapping.bytes[0] = 1
    mapping.release()
    expect([guest.memory.u8[guest.mfn(0x11) * 4096], guest.dirty]).toEqual([0, []])
  })

  test('knows its copies in reverse', () => {
    const mapping = cache.mapForWriting(0x1_0000, 16)
    expect(cache.gpaOf(mapping.bytes.subarray(5))).toBe(0x1_0005)
  })
})

test('outside of it there are no copies, and nothing is watched', () => {
  const plain = guest.cache()
  const mapping = plain.mapForWriting(0x1_0000, 4)
  expect(mapping.bytes.buffer).toBe(guest.memory.buffer)
  mapping.release()
  expect(plain.keptViews()).toEqual([])
})
