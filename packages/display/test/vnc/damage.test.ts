import type { DisplayRectangle } from '@retrap/device'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Damage, partsOf } from '../../src/vnc/damage.ts'

test('a client that asks for single pixels does not make ever more rectangles', () => {
  const damage = new Damage()
  damage.set(100, 60)
  for (let y = 1; y < 60; y += 2) {
    for (let x = 1; x < 100; x += 2) {
      expect(damage.take({ x, y, width: 1, height: 1 })).toContainEqual({ x, y, width: 1, height: 1 })
    }
  }
  const rest = damage.take({ x: 0, y: 0, width: 100, height: 60 })
  expect(rest.length).toBeLessThanOrEqual(64)
  // Nothing that was not asked for is forgotten.
  const missing = (x: number, y: number): boolean =>
    !rest.some((area) => x >= area.x && x < area.x + area.width && y >= area.y && y < area.y + area.height)
  for (let y = 0; y < 60; y += 2) for (let x = 0; x < 100; x += 2) expect(missing(x, y)).toBe(false)
})

test('what is taken is what was added, pixel by pixel; a few rectangles name nothing else', () => {
  const [WIDTH, HEIGHT] = [40, 200]
  const area = fc.record({
    x: fc.nat(39),
    y: fc.nat(199),
    width: fc.integer({ min: 1, max: 40 }),
    height: fc.integer({ min: 1, max: 200 }),
  })
  const step = fc.record({ what: fc.constantFrom('add', 'add', 'take'), area })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12, size: 'max' }), (steps) => {
      const damage = new Damage()
      const model = new Uint8Array(WIDTH * HEIGHT)
      const fill = ({ x, y, width, height }: DisplayRectangle, value: number, into = model): void => {
        for (let row = y; row < Math.min(HEIGHT, y + height); row++) {
          for (let column = x; column < Math.min(WIDTH, x + width); column++) into[row * WIDTH + column] = value
        }
      }
      for (const { what, area: one } of steps) {
        if (what === 'add') {
          const clipped = {
            ...one,
            width: Math.min(one.width, WIDTH - one.x),
            height: Math.min(one.height, HEIGHT - one.y),
          }
          damage.add(clipped)
          fill(clipped, 1)
        } else {
          const expected = new Uint8Array(model.length)
          fill(one, 1, expected)
          for (let i = 0; i < model.length; i++) expected[i]! &= model[i]!
          const taken = new Uint8Array(model.length)
          for (const each of damage.take(one)) {
            expect(each.height).toBeLessThanOrEqual(64)
            fill(each, 1, taken)
          }
          expect(taken).toEqual(expected)
          fill(one, 0)
        }
      }
    }),
  )
})

test('64 rectangles are kept, more become one; one within another is none', () => {
  const line = (count: number): Damage => {
    const damage = new Damage()
    for (let i = 0; i < count; i++) damage.add({ x: 2 * i, y: 3, width: 1, height: 65 })
    return damage
  }
  const all = { x: 0, y: 0, width: 1000, height: 1000 }
  const taken = line(64).take(all)
  expect([taken.length, taken[0], taken[1]]).toEqual([
    128,
    { x: 0, y: 3, width: 1, height: 64 },
    { x: 0, y: 67, width: 1, height: 1 },
  ])
  expect(line(65).take({ ...all, height: 67 })).toEqual([{ x: 0, y: 3, width: 129, height: 64 }])
  const one = line(1)
  one.add({ x: 0, y: 4, width: 1, height: 64 })
  one.add({ x: 0, y: 3, width: 1, height: 65 })
  expect(one.take(all).length).toBe(2)
  one.add({ x: 5, y: 5, width: 2, height: 2 })
  one.add({ x: 4, y: 4, width: 4, height: 4 })
  expect(one.take(all)).toEqual([{ x: 4, y: 4, width: 4, height: 4 }])
})

test('an update has no more rectangles than its header counts, and they cover all that was wanted', () => {
  const damage = new Damage()
  for (let i = 0; i < 64; i++) damage.add({ x: i, y: 63 - i, width: 12_000, height: 12_000 })
  const wanted = damage.take({ x: 0, y: 0, width: 16_384, height: 16_384 })
  const parts = partsOf(wanted, 256)
  expect(wanted.length * 47).toBeGreaterThan(0xffff)
  expect(parts.length).toBeLessThan(0xffff)
  const area = parts.reduce((sum, { width, height }) => sum + width * height, 0)
  expect(area).toBe(12_063 * 12_063)
  expect(partsOf(wanted.slice(0, 2), 256)).toHaveLength(2 * 47)
  expect(partsOf(wanted.slice(0, 2), Infinity)).toEqual(wanted.slice(0, 2))
})
