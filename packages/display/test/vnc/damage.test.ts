import { expect, test } from 'vitest'
import { Damage } from '../../src/vnc/damage.ts'

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
