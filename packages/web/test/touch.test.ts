/** Fingers as a mouse, finger by finger. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { PointerChange } from '../src/protocol.ts'
import { TouchPointer } from '../src/touch.ts'

let sent: string[] = []
beforeEach(() => {
  vi.useFakeTimers()
  sent = []
})
afterEach(() => {
  vi.useRealTimers()
})

const textOf = (event: PointerChange): string => {
  if (event.kind === 'move') return `to ${event.x},${event.y} by ${event.dx},${event.dy}`
  return event.kind === 'wheel' ? `wheel ${event.vertical}` : `${event.button} ${event.down ? 'down' : 'up'}`
}

/** Fingers on a screen of 100 by 100 pixels. */
function hand(pointer: 'relative' | 'absolute') {
  const fingers = new TouchPointer({ pointer, sendPointer: (events) => sent.push(...events.map(textOf)) })
  const act =
    (what: 'down' | 'move' | 'up' | 'cancel') =>
    (clientX: number, clientY: number, pointerId = 1): void =>
      fingers[what]({ pointerId, clientX, clientY } as PointerEvent, {
        ...{ kind: 'move', dx: 0, dy: 0, x: clientX / 100, y: clientY / 100 },
      })
  return { fingers, down: act('down'), move: act('move'), up: act('up'), cancel: act('cancel') }
}

test.each([
  ['a tap is a click where it is', 'absolute', [[53, 22]], ['to 0.5,0.2 by 0,0', 'left down', 'left up']],
  [
    'a finger that moves holds the button of an absolute pointer',
    'absolute',
    [
      [70, 20],
      [70, 30],
    ],
    ['to 0.5,0.2 by 0,0', 'left down', 'to 0.7,0.2 by 20,0', 'to 0.7,0.3 by 0,10', 'left up'],
  ],
  [
    'and moves a relative one, as a touch pad does',
    'relative',
    [
      [55, 20],
      [70, 20],
    ],
    ['to 0.7,0.2 by 20,0'],
  ],
] as [string, 'absolute' | 'relative', [number, number][], string[]][])('%s', (_, pointer, way, expected) => {
  const { down, move, up } = hand(pointer)
  down(50, 20)
  for (const [x, y] of way) move(x, y)
  up(...way.at(-1)!)
  vi.advanceTimersByTime(1000)
  expect(sent).toEqual(expected)
})

test('a long press is the right button, and no tap afterwards', () => {
  const { down, move, up } = hand('absolute')
  down(10, 10)
  vi.advanceTimersByTime(499)
  expect(sent).toEqual([])
  vi.advanceTimersByTime(1)
  move(80, 80)
  up(80, 80)
  expect(sent).toEqual(['to 0.1,0.1 by 0,0', 'right down', 'right up'])
})

test('two fingers turn the wheel, and press nothing', () => {
  const { down, move, up } = hand('absolute')
  down(40, 50)
  down(60, 50, 2)
  for (const y of [40, 30, 20]) {
    move(40, y)
    move(60, y, 2)
  }
  up(40, 20)
  move(60, 90, 2)
  up(60, 90, 2)
  vi.advanceTimersByTime(1000)
  // 30 pixels up, which shows what is below; then the one finger that is left 70 down.
  expect(sent[0]).toBe('wheel -1')
  expect(sent.filter((one) => !one.startsWith('wheel'))).toEqual([])
})

test('a button is not left pressed by a second finger, by the browser, or by the end', () => {
  for (const stop of ['second', 'cancel', 'end']) {
    sent = []
    const { fingers, down, move, cancel } = hand('absolute')
    down(50, 20)
    move(70, 20)
    if (stop === 'second') down(10, 10, 2)
    else if (stop === 'cancel') cancel(70, 20)
    else fingers.end()
    expect(sent.at(-1)).toBe('left up')
  }
})
