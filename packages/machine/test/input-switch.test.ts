import type { InputBackend, InputEvent } from '@retrap/device'
import { Keyboard, Mouse } from '@retrap/display'
import { expect, test } from 'vitest'
import { InputSwitch } from '../src/input/input-switch.ts'

/** Joins a model that takes what it is given, up to `room` events. */
function join(
  to: InputSwitch,
  backend: InputBackend = to.join(),
): { readonly backend: InputBackend; readonly taken: string[]; room: number } {
  const model = { backend, taken: [] as string[], room: Infinity }
  backend.connect({
    input(events) {
      const count = Math.min(events.length, model.room)
      model.room -= count
      model.taken.push(...events.slice(0, count).map(describe))
      return count
    },
  })
  return model
}

function describe(event: InputEvent): string {
  if (event.kind === 'key') return `${event.down ? '+' : '-'}${event.usage}`
  if (event.kind === 'button') return `${event.down ? '+' : '-'}button${event.button}`
  return event.kind
}

test("events go to the board's model until the guest uses another, and again when it no longer does", async () => {
  const keyboard = new Keyboard()
  const to = new InputSwitch(keyboard)
  const board = join(to)
  const plugged = join(to)
  await keyboard.press('KeyA')
  plugged.backend.setActive?.(true)
  await keyboard.press('KeyB')
  plugged.backend.setActive?.(false)
  await keyboard.press('KeyC')
  expect(board.taken).toEqual(['+4', '-4', '+6', '-6'])
  expect(plugged.taken).toEqual(['+5', '-5'])
})

test('a key that is down when that changes goes up at the old one', async () => {
  const keyboard = new Keyboard()
  const to = new InputSwitch(keyboard)
  const board = join(to)
  const plugged = join(to)
  await keyboard.down('ShiftLeft')
  plugged.backend.setActive?.(true)
  expect(board.taken).toEqual(['+225', '-225'])
})

test('the model begun last has the events; what waits goes on with it', async () => {
  const keyboard = new Keyboard()
  const to = new InputSwitch(keyboard)
  const board = join(to)
  board.room = 0
  const typed = keyboard.press('KeyA')
  const [one, two] = [join(to), join(to)]
  two.backend.setActive?.(true)
  expect(await typed).toBe(true)
  one.backend.setActive?.(true)
  await keyboard.press('KeyB')
  one.backend.setActive?.(false)
  await keyboard.press('KeyC')
  expect([board.taken, one.taken, two.taken]).toEqual([[], ['+5', '-5'], ['+4', '-4', '+6', '-6']])
})

test('lamps and the kind of pointer are those of the model in use', () => {
  const keyboard = new Keyboard()
  const keys = new InputSwitch(keyboard)
  const board = join(keys)
  const plugged = join(keys)
  const lamps = (capsLock: boolean): Parameters<NonNullable<InputBackend['setLeds']>>[0] => {
    return { numLock: false, capsLock, scrollLock: false }
  }
  board.backend.setLeds?.(lamps(true))
  plugged.backend.setLeds?.(lamps(false))
  expect(keyboard.leds.capsLock).toBe(true)
  plugged.backend.setActive?.(true)
  expect(keyboard.leds.capsLock).toBe(false)
  const mouse = new Mouse()
  const pointers = new InputSwitch(mouse)
  join(pointers).backend.setPointer?.('relative')
  const tablet = join(pointers)
  tablet.backend.setPointer?.('absolute')
  expect(mouse.pointer).toBe('relative')
  tablet.backend.setActive?.(true)
  expect(mouse.pointer).toBe('absolute')
})

test('of several that the guest uses, a restored machine has the one that it began to use last', async () => {
  const [before, after] = [0, 1].map(() => {
    const keyboard = new Keyboard()
    const to = new InputSwitch(keyboard)
    return { keyboard, to, models: [0, 1, 2].map(() => join(to)) }
  })
  for (const i of [2, 1]) before!.models[i]!.backend.setActive?.(true)
  // Models are restored in the order of their places.
  for (const i of [1, 2]) after!.models[i]!.backend.setActive?.(true)
  after!.to.restore(before!.to.save())
  for (const { keyboard, models } of [before!, after!]) {
    await keyboard.press('KeyA')
    expect(models.map(({ taken }) => taken.length)).toEqual([0, 2, 0])
  }
})

test('models in front of a gate and behind it take turns, by the order in which the guest begins to use them', async () => {
  const keyboard = new Keyboard()
  const front = new InputSwitch(keyboard)
  const behind = new InputSwitch(front.join(), {}, front)
  const usb = join(behind, behind.joinOutside())
  const [board, virtio] = [join(behind), join(behind)]
  await keyboard.press('KeyA')
  usb.backend.setActive?.(true)
  await keyboard.press('KeyB')
  virtio.backend.setActive?.(true)
  await keyboard.press('KeyC')
  // As a snapshot says that the guest uses USB's.
  behind.restore([0])
  await keyboard.press('KeyD')
  expect([board, usb, virtio].map(({ taken }) => taken.join())).toEqual(['+4,-4', '+5,-5,+7,-7', '+6,-6'])
})
