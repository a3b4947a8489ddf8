import { expect, test } from 'vitest'
import { BackOff } from '../src/jit/compile-credit.ts'
import { BoundedMap } from '../src/bounded-map.ts'

test('a bounded map forgets what was set longest ago', () => {
  const map = new BoundedMap<string, number>(2)
  map.set('a', 1)
  map.set('b', 2)
  map.set('a', 3)
  map.set('c', 4)
  expect(['a', 'b', 'c'].map((key) => map.get(key))).toEqual([3, undefined, 4])
  expect(map.size).toBe(2)
})

test('a frame waits twice as long each time that its code is written, up to 1024 times', () => {
  const backOff = new BackOff()
  const waits = (): number => {
    let count = 0
    while (backOff.isToWait(7)) count++
    return count
  }
  const seen = Array.from({ length: 14 }, () => {
    backOff.noteDeath(7)
    return waits() + 1
  })
  expect(seen).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024])
  expect(backOff.isToWait(8)).toBe(false)
})
