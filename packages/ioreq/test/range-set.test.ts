import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { type IoreqError, RangeSet } from '../src/index.ts'

const codeOf = (act: () => void): string => {
  try {
    act()
  } catch (error) {
    return (error as IoreqError).code
  }
  return 'ok'
}

describe('ranges of an ioreq server (dm_op map/unmap_io_range)', () => {
  test.each([
    ['start above end', 5, 4, 'ERR_INVALID'],
    ['a negative start', -1, 4, 'ERR_INVALID'],
    ['a start that is no number', NaN, 4, 'ERR_INVALID'],
    ['an end that is no number', 4, NaN, 'ERR_INVALID'],
    ['a start between two addresses', 0.5, 4, 'ERR_INVALID'],
    ['an end between two addresses', 4, 4.5, 'ERR_INVALID'],
    ['an end that is not exact', 0x40, 2 ** 53, 'ERR_INVALID'],
    ['the last address that is exact', 2 ** 53 - 1, 2 ** 53 - 1, 'ok'],
    ['the first address', 0, 0, 'ok'],
    ['overlap below', 0x0, 0x10, 'ERR_EXISTS'],
    ['overlap above', 0x1f, 0x30, 'ERR_EXISTS'],
    ['inside', 0x14, 0x15, 'ERR_EXISTS'],
    ['around', 0x0, 0x100, 'ERR_EXISTS'],
    ['touching below', 0x0, 0xf, 'ok'],
    ['touching above', 0x20, 0x2f, 'ok'],
  ])('mapping %s', (_, start, end, code) => {
    const set = new RangeSet()
    set.add(0x10, 0x1f)
    expect(codeOf(() => set.add(start, end))).toBe(code)
  })

  test.each([
    ['part of nothing', 0x0, 0xf, 'ERR_NOT_FOUND'],
    ['more than is there', 0x10, 0x20, 'ERR_NOT_FOUND'],
    ['a hole in the middle', 0x14, 0x15, 'ok'],
  ])('unmapping %s', (_, start, end, code) => {
    const set = new RangeSet()
    set.add(0x10, 0x1f)
    expect(codeOf(() => set.remove(start, end))).toBe(code)
  })

  test('the 256th range fits and the 257th does not', () => {
    const set = new RangeSet()
    for (let i = 0; i < 256; i++) set.add(i * 4, i * 4)
    expect(codeOf(() => set.add(2000, 2000))).toBe('ERR_NO_SPACE')
    // One that adjoins needs no range of its own.
    expect(codeOf(() => set.add(1, 1))).toBe('ok')
    set.remove(0, 1)
    expect(codeOf(() => set.add(2000, 2000))).toBe('ok')
  })

  test('agrees with a set of single addresses', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('add', 'remove', 'union'), fc.nat(60), fc.nat(9)), {
          maxLength: 60,
          size: 'max',
        }),
        (steps) => {
          const set = new RangeSet()
          const model = new Set<number>()
          for (const [step, start, extra] of steps) {
            const all = Array.from({ length: extra + 1 }, (_, i) => start + i)
            const some = all.some((a) => model.has(a))
            const every = all.every((a) => model.has(a))
            expect(set.overlaps(start, start + extra)).toBe(some)
            expect(set.contains(start, start + extra)).toBe(every)
            if (step === 'add') {
              expect(codeOf(() => set.add(start, start + extra))).toBe(some ? 'ERR_EXISTS' : 'ok')
              if (!some) for (const a of all) model.add(a)
            } else if (step === 'union') {
              set.addUnion(start, start + extra)
              for (const a of all) model.add(a)
            } else {
              expect(codeOf(() => set.remove(start, start + extra))).toBe(every ? 'ok' : 'ERR_NOT_FOUND')
              if (every) for (const a of all) model.delete(a)
            }
          }
          for (let i = 1; i < set.count; i++) expect(set.start(i)).toBeGreaterThan(set.end(i - 1) + 1)
        },
      ),
    )
  })
})
