import type { InputEvent } from '@retrap/device'
import { expect, test } from 'vitest'
import { Mouse } from '../../src/index.ts'

test('movements, buttons and the wheel reach the guest in their order', async () => {
  const mouse = new Mouse()
  const seen: InputEvent[] = []
  mouse.connect({ input: (events) => seen.push(...events) && events.length })
  void mouse.move(3, -4)
  void mouse.click('right')
  void mouse.wheel(1)
  await mouse.moveTo(40_000, -1)
  expect(seen).toEqual([
    { kind: 'relative', dx: 3, dy: -4 },
    { kind: 'button', button: 2, down: true },
    { kind: 'button', button: 2, down: false },
    { kind: 'wheel', vertical: 1, horizontal: 0 },
    { kind: 'absolute', x: 32_767, y: 0 },
  ])
})

test('what it is given is checked', () => {
  const mouse = new Mouse()
  expect(() => mouse.move(0.5, 0)).toThrow('dx 0.5: expected a whole number')
  expect(() => mouse.down('top' as 'left')).toThrow("mouse button 'top': expected one of left, right, middle")
})

test('the pointer that the guest drives is known, and unknown again of the next machine', () => {
  const mouse = new Mouse()
  mouse.connect({ input: () => 0 })
  mouse.setPointer('relative')
  expect(mouse.pointer).toBe('relative')
  mouse.connect({ input: () => 0 })
  expect(mouse.pointer).toBe('none')
})
