/** What hosts of device models check, and how they cut answers. */
import { describe, expect, test } from 'vitest'
import { checkedNumber, checkedVoid, checkRegion, cut, hex, isOneCall, isWord } from '../src/host/index.ts'
import type { RangeHandler, RegionOptions } from '../src/index.ts'

const handler: RangeHandler = { read: () => 0, write: () => {} }

describe('a range that a model claims', () => {
  test.each<[unknown, boolean]>([
    [undefined, false],
    [null, false],
    [{}, false],
    [{ read: () => 0 }, false],
    [{ write: () => {} }, false],
    [handler, true],
  ])('needs a handler with read and write: %o: %s', (given, good) => {
    const check = (): void => checkRegion('card', given as RangeHandler, {})
    if (good) expect(check).not.toThrow()
    else expect(check).toThrow(/expected an object with read and write/)
  })

  test.each<[RegionOptions, boolean]>([
    [{}, true],
    [{ maximumAccess: 1, minimumAccess: 1, priority: -3 }, true],
    [{ maximumAccess: 2, minimumAccess: 2 }, true],
    [{ maximumAccess: 4, minimumAccess: 4 }, true],
    [{ maximumAccess: 8 }, true],
    [{ maximumAccess: 3 as never }, false],
    [{ maximumAccess: 16 as never }, false],
    [{ minimumAccess: 8 as never }, false],
    [{ minimumAccess: 0 as never }, false],
    [{ priority: NaN }, false],
    [{ priority: Infinity }, false],
  ])('with the options %o: %s', (options, good) => {
    const check = (): void => checkRegion('card', handler, options)
    if (good) expect(check).not.toThrow()
    else expect(check).toThrow(expect.objectContaining({ code: 'ERR_INVALID' }))
  })
})

test('an answer is a word of 32 bits, signed or not', () => {
  expect([0, 0xffff_ffff, -0x8000_0000, -1].map(isWord)).toEqual([true, true, true, true])
  for (const value of [2 ** 32, -0x8000_0001, 0.5, NaN, Infinity, '1', undefined, 1n]) {
    expect(isWord(value)).toBe(false)
    expect(() => checkedNumber(value as number)).toThrow(/expected an integer from -2\^31 to 2\^32-1/)
  }
  expect(checkedNumber(-5)).toBe(-5)
})

const unspeakable = {
  toString(): string {
    throw new Error('no')
  },
}

test.each<[unknown, string]>([
  [undefined, 'undefined undefined'],
  [null, 'object null'],
  [true, 'boolean true'],
  ['7', 'string 7'],
  [7n, 'bigint 7'],
  [Symbol('s'), 'symbol Symbol(s)'],
  [NaN, 'number NaN'],
  [2 ** 32, 'number 4294967296'],
  [unspeakable, 'a object'],
  [Object.assign(() => 0, unspeakable), 'a function'],
])('%#: an answer that is no number is refused with what it is', (value, what) => {
  const message = `a read was answered with ${what}: expected an integer from -2^31 to 2^32-1`
  expect(() => checkedNumber(value as number)).toThrow(expect.objectContaining({ code: 'ERR_DEVICE', message }))
})

test('an answer is cut to its size', () => {
  expect([1, 2, 4].map((size) => cut(-1, size))).toEqual([0xff, 0xffff, 0xffff_ffff])
  expect([1, 2, 4].map((size) => cut(0x8765_4321, size))).toEqual([0x21, 0x4321, 0x8765_4321])
})

test('a synchronous write returns anything but a promise', () => {
  for (const value of [undefined, null, 0, {}]) expect(() => checkedVoid(value as undefined)).not.toThrow()
  expect(() => checkedVoid(Promise.resolve())).toThrow(/declared synchronous returned a promise/)
})

test('an access is one call where the range allows its size, and holds it', () => {
  for (const maximumAccess of [1, 2, 4, 8]) {
    for (const minimumAccess of [1, 2, 4]) {
      for (const size of [1, 2, 3, 4, 5, 8]) {
        for (const offset of [0, 15, 16]) {
          const region = { handler, length: 17, maximumAccess, minimumAccess }
          const allowed = [1, 2, 4].includes(size) && minimumAccess <= size && size <= maximumAccess
          expect([region, offset, size, isOneCall(region, offset, size)]).toEqual([
            ...[region, offset, size],
            allowed && offset + size <= 17,
          ])
        }
      }
    }
  }
})

test('numbers of messages are hexadecimal, below zero too', () => {
  expect([0, 0x1f, 2 ** 52, -0x1f].map(hex)).toEqual(['0x0', '0x1f', '0x10000000000000', '-0x1f'])
})
