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
  void mouse.wheel(-2, 3)
  for (const button of ['left', 'middle', 'back', 'forward'] as const) void mouse.down(button)
  void mouse.up()
  for (const place of [32_766, 32_767, 32_768]) void mouse.moveTo(place, 0)
  await mouse.moveTo(40_000, -1)
  expect(seen).toEqual([
    { kind: 'relative', dx: 3, dy: -4 },
    { kind: 'button', button: 2, down: true },
    { kind: 'button', button: 2, down: false },
    { kind: 'wheel', vertical: 1, horizontal: 0 },
    { kind: 'wheel', vertical: -2, horizontal: 3 },
    ...[1, 3, 4, 5].map((button) => ({ kind: 'button', button, down: true })),
    { kind: 'button', button: 1, down: false },
    ...[32_766, 32_767, 32_767].map((x) => ({ kind: 'absolute', x, y: 0 })),
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

test('a queue offers 64 events at a time, in their order, however few are taken', async () => {
  const mouse = new Mouse()
  const offered: number[] = []
  const seen: number[] = []
  let room = 0
  mouse.connect({
    input(events) {
      offered.push(events.length)
      const taken = events.slice(0, room)
      room -= taken.length
      for (const event of taken) if (event.kind === 'relative') seen.push(event.dx)
      return taken.length
    },
  })
  const sent = Array.from({ length: 10_000 }, (_, i) => mouse.move(i, 0))
  const settled: boolean[] = []
  for (const promise of sent) void promise.then((taken) => settled.push(taken))
  expect([mouse.waiting, Math.max(...offered)]).toEqual([10_000, 64])
  for (const more of [1, 63, 64, 65, 3902, 1, 1, 4096]) {
    room = more
    mouse.ready()
  }
  await Promise.resolve()
  expect([mouse.waiting, settled.length]).toEqual([10_000 - 8193, 8193])
  expect(seen).toEqual(Array.from({ length: 8193 }, (_, i) => i))
  mouse.clear()
  expect((await Promise.all(sent)).filter((taken) => !taken).length).toBe(10_000 - 8193)
  room = 1
  expect([await mouse.move(7, 0), seen.at(-1), mouse.waiting]).toEqual([true, 7, 0])
})
