import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import { copyGuest, gather, guestMapOf, lengthOf, MapCache, MapCacheError, scatter } from '../src/index.ts'
import { createGuest } from './support/guest.ts'

const guest = createGuest()
guest.ram(0x10, 2)
const options = { memory: guest.memory, map: guestMapOf(guest.p2m), references: guest.counts }
const cache = new MapCache(options)
const range = [{ gpa: 0x1_0000, length: 8 }]

describe('a value of the wrong kind throws a MapCacheError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['new MapCache', (each: never) => new MapCache(each), [options]],
    ['memory', (memory: never) => new MapCache({ ...options, memory }), [guest.memory]],
    ['map', (map: never) => new MapCache({ ...options, map }), [options.map]],
    ['references', (references: never) => new MapCache({ ...options, references }), [guest.counts]],
    ['budgetBytes', (budgetBytes: never) => new MapCache({ ...options, budgetBytes }), [1 << 30]],
    ['bucketBytes', (bucketBytes: never) => new MapCache({ ...options, bucketBytes }), [1 << 20]],
    ['guestMapOf', guestMapOf as never, [guest.p2m]],
    ['map', (...args: never[]) => cache.map(...(args as unknown as [0, 0])).release(), [0x1_0000, 8]],
    [
      'mapForWriting',
      (...args: never[]) => cache.mapForWriting(...(args as unknown as [0, 0])).release(),
      [0x1_0000, 8],
    ],
    ['with', (gpa: never, length: never, use: never) => cache.with(gpa, length, use), [0x1_0000, 8, () => 0]],
    ['read', (gpa: never, into: never) => cache.read(gpa, into), [0x1_0000, new Uint8Array(8)]],
    ['write', (gpa: never, from: never) => cache.write(gpa, from), [0x1_0000, new Uint8Array(8)]],
    ['invalidate', (...args: never[]) => cache.invalidate(...(args as unknown as [0, 0])), [0x10, 1]],
    ['gather', gather as never, [cache, range, new Uint8Array(8)]],
    ['scatter', scatter as never, [cache, range, new Uint8Array(8)]],
    ['copyGuest', copyGuest as never, [cache, 0x1_0000, 0x1_0100, 8]],
    ['lengthOf', lengthOf as never, [range]],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, MapCacheError)).toEqual([])
  })
})
