// Compiled code in the table: entries, what is kept of it, and what goes first.
import { describe, expect, test } from 'vitest'
import type { CodeSource } from '../../src/jit/unit-code.ts'
import { UnitCodes } from '../../src/jit/unit-codes.ts'
import type { UnitEntries } from '../../src/jit/unit.ts'

const source = (key: number, offset = key): CodeSource => ({ key, offset }) as CodeSource

class Table implements UnitEntries {
  readonly entries = new Map<number, object>()

  install(module: object, entry: number): void {
    this.entries.set(entry, module)
  }

  uninstall(entry: number): void {
    this.entries.delete(entry)
  }
}

describe('compiled code', () => {
  test('is in all tables, those that come later included, and leaves its entry to others', () => {
    const codes = new UnitCodes(100)
    const [first, second] = [new Table(), new Table()]
    codes.addTable(first)
    const [a, b] = [codes.add({ a: 1 }, 10, source(1)), codes.add({ b: 1 }, 20, source(2))]
    codes.addTable(second)
    expect([a.entry, b.entry, [...second.entries]]).toEqual([100, 101, [...first.entries]])
    expect([codes.bytes, codes.keptBytes]).toEqual([30, 30])
    codes.take(a)
    codes.take(a)
    codes.release(a, false)
    expect([codes.keptBytes, a.users]).toEqual([20, 1])
    codes.release(a, false)
    expect([codes.bytes, codes.keptBytes, codes.isAt(1), codes.isAt(2)]).toEqual([20, 20, false, true])
    for (const { entries } of [first, second]) expect([...entries]).toEqual([[101, b.module]])
    expect(codes.add({}, 1, source(3)).entry).toBe(100)
    expect(codes.add({}, 1, source(4)).entry).toBe(102)
  })

  test('without units is kept, and what was without them for longest is dropped first', () => {
    const codes = new UnitCodes(0)
    expect(codes.dropOldest()).toBe(false)
    const [a, b] = [codes.add({}, 10, source(1)), codes.add({}, 20, source(2))]
    codes.take(a)
    codes.release(a, true)
    expect([codes.keptBytes, codes.of(1), codes.of(2), codes.of(3)]).toEqual([30, [a], [b], []])
    expect([codes.dropOldest(), codes.bytes, codes.of(2)]).toEqual([true, 10, []])
    expect([codes.dropOldest(), codes.bytes, codes.keptBytes, codes.dropOldest()]).toEqual([true, 0, 0, false])
  })

  test('of one place is found in four forms: the oldest is not found any more, and goes where no unit has it', () => {
    const codes = new UnitCodes(0)
    const all = Array.from({ length: 4 }, () => codes.add({}, 1, source(7)))
    codes.take(all[0]!)
    expect(codes.of(7)).toEqual(all)
    all.push(codes.add({}, 1, source(7)))
    expect([codes.of(7), codes.bytes]).toEqual([all.slice(1), 5])
    all.push(codes.add({}, 1, source(7)))
    expect([codes.of(7), codes.bytes]).toEqual([all.slice(2), 5])
    codes.release(all[0]!, true)
    expect(codes.bytes).toBe(4)
  })

  test('that has better code in its place leads to it, as long as that is there', () => {
    const codes = new UnitCodes(0)
    const [a, b, c] = [1, 2, 3].map((bytes) => codes.add({}, bytes, source(7))) as [
      ReturnType<typeof codes.add>,
      ReturnType<typeof codes.add>,
      ReturnType<typeof codes.add>,
    ]
    for (const each of [a, b, c]) codes.take(each)
    codes.replace(a, b)
    codes.replace(b, c)
    expect([codes.latest(a), codes.latest(c), codes.of(7)]).toEqual([c, c, [c]])
    codes.release(c, false)
    expect(codes.latest(a)).toBe(b)
    codes.release(b, true)
    // It is kept only where it can be found.
    expect([codes.bytes, codes.latest(a)]).toEqual([1, a])
  })

  test('has 65,536 entries with the forms', () => {
    const codes = new UnitCodes((1 << 16) - 1)
    expect(codes.isFull()).toBe(false)
    const code = codes.add({}, 1, source(1))
    expect([code.entry, codes.isFull()]).toEqual([65_535, true])
    codes.dropOldest()
    expect([codes.isFull(), codes.add({}, 1, source(1)).entry]).toEqual([false, 65_535])
  })
})
