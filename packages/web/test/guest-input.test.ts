/** What a page sends of keys and pointers, as the machine's devices get it. */
import { expect, test } from 'vitest'
import { GuestInput } from '../src/worker/guest-input.ts'

test('a pointer is moved as the guest drives it, and another kind is told once', () => {
  const told: string[] = []
  const input = new GuestInput('us', (pointer) => told.push(pointer))
  const seen: object[] = []
  input.mouse.connect({ input: (events) => seen.push(...events) && events.length })
  const move = { kind: 'move', dx: 3.4, dy: -2.6, x: 0.5, y: 1 } as const
  const still = { ...move, dx: 0, dy: 0 }
  input.movePointer([still])
  expect([told, seen.splice(0)]).toEqual([[], []])
  input.mouse.setPointer('relative')
  input.movePointer([move, still, { kind: 'button', button: 'right', down: true }])
  input.movePointer([
    { kind: 'button', button: 'right', down: false },
    { kind: 'wheel', vertical: -1 },
  ])
  expect([told.splice(0), seen.splice(0)]).toEqual([
    ['relative'],
    [
      { kind: 'relative', dx: 3, dy: -3 },
      { kind: 'button', button: 2, down: true },
      { kind: 'button', button: 2, down: false },
      { kind: 'wheel', vertical: -1, horizontal: 0 },
    ],
  ])
  input.mouse.setPointer('absolute')
  input.movePointer([still])
  input.movePointer([])
  expect([told, seen]).toEqual([['absolute'], [{ kind: 'absolute', x: 0x4000, y: 0x7fff }]])
})

test('a key that no PC has is passed over, and those around it are not', () => {
  const input = new GuestInput('us', () => undefined)
  const seen: object[] = []
  input.keyboard.connect({ input: (events) => seen.push(...events) && events.length })
  for (const down of [true, false])
    input.pressKeys([
      { code: 'KeyA', down },
      { code: 'NoSuchKey', down },
      { code: 'KeyB', down },
    ])
  expect(seen.map((event) => 'down' in event && event.down)).toEqual([true, true, false, false])
})
