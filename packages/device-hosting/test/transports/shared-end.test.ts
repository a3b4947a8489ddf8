import { expect, test } from 'vitest'
import { Doorbell } from '../../src/doorbell.ts'
import type { Frame } from '../../src/frames.ts'
import { createSharedDeviceMemory, SharedEnd } from '../../src/shared-memory.ts'

const LENGTH = 1_000_000

test.each<{ from: 'devices' | 'hypervisor'; frame: Frame }>([
  { from: 'devices', frame: { kind: 'called', call: 7, error: '', result: 'x'.repeat(LENGTH) } },
  { from: 'hypervisor', frame: { kind: 'restore', call: 7, now: { lo: 0, hi: 0 }, state: 'x'.repeat(LENGTH) } },
])(
  'a frame larger than its stream arrives where each side looks when it is rung for: from $from',
  ({ from, frame }) => {
    const memory = createSharedDeviceMemory(new Doorbell(new Int32Array(new SharedArrayBuffer(4)), 0))
    const arrived: Frame[] = []
    const sides = (['hypervisor', 'devices'] as const).map((side) => {
      const end = new SharedEnd(memory, side, (some) => arrived.push(some))
      return { side, end, seen: end.ownBell.value }
    })
    sides.find(({ side }) => side === from)!.end.send(frame)
    for (let any = true; any;) {
      any = false
      for (const side of sides) {
        const { value } = side.end.ownBell
        if (value === side.seen) continue
        any = true
        side.seen = value
        side.end.receive()
      }
    }
    expect(arrived).toEqual([frame])
  },
)
