import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { E1000Machine, MAC } from '../support/e1000-machine.ts'

/** Registers that a hostile driver would aim at: control, rings and delays. */
const TARGETS = [
  ...[0x00, 0x10, 0x14, 0x18, 0x20, 0xc0, 0xc4, 0xc8, 0xd0, 0xd8, 0x100, 0x400, 0x1000],
  ...[0x2800, 0x2804, 0x2808, 0x2810, 0x2818, 0x2820, 0x282c, 0x2c00],
  ...[0x3800, 0x3804, 0x3808, 0x3810, 0x3818, 0x3820, 0x3828, 0x382c, 0x5000, 0x5200, 0x5404, 0x5600],
]
const word = fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 1, 15, 16, 0x80, 0xffff, 0xffff_ffff))
const step = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), offset: fc.constantFrom(...TARGETS), value: word }),
  fc.record({ kind: fc.constant('read' as const), offset: fc.nat({ max: 0x1_ffff }), value: word }),
  fc.record({ kind: fc.constant('descriptor' as const), offset: fc.nat({ max: 31 }), value: word }),
  fc.record({ kind: fc.constant('frame' as const), offset: fc.nat({ max: 20_000 }), value: word }),
  fc.record({ kind: fc.constant('room' as const), offset: fc.nat({ max: 3 }), value: word }),
  fc.record({ kind: fc.constant('time' as const), offset: fc.nat({ max: 100_000 }), value: word }),
  fc.record({ kind: fc.constant('go' as const), offset: fc.nat({ max: 15 }), value: word }),
)

test('a hostile driver cannot make it fail, hold the host, or send what no network takes', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const card = new E1000Machine()
      card.start()
      for (const { kind, offset, value } of steps) {
        const before = card.network.sent.length
        if (kind === 'write') card.write(offset, value)
        else if (kind === 'read') card.read(offset & ~3)
        else if (kind === 'descriptor') {
          // Lengths, commands and addresses that lie; contexts with every offset.
          const at = 0x1000 + 16 * (offset & 15)
          card.view.setUint32(at, value, true)
          card.view.setUint32(at + 4, value & 0x100 ? 1 : 0, true)
          card.view.setUint32(at + 8, Math.imul(value, 0x9e37_79b1), true)
          card.view.setUint32(at + 12, Math.imul(value, 0x85eb_ca6b), true)
        } else if (kind === 'frame') {
          card.network.client!.receive(
            Uint8Array.from({ length: offset }, (_, i) => MAC[i] ?? (value >>> (i % 24)) & 255),
          )
        } else if (kind === 'room') {
          card.network.room = offset === 3 ? Infinity : offset
          card.network.client!.drained()
        } else if (kind === 'time') card.machine.advance(offset)
        else {
          card.start()
          card.write(0x3818, offset)
          card.write(0x2818, offset)
        }
        // A batch, and what follows it in the time that a step takes.
        expect(card.network.sent.length - before).toBeLessThan(256 * 12)
      }
      for (const frame of card.network.sent) expect(frame.length).toBeLessThanOrEqual(1514)
      const state = structuredClone(card.model.save())
      const other = new E1000Machine()
      other.model.restore(state)
      expect(other.model.save()).toEqual(state)
    }),
    { numRuns: slicedCount(150, 4) },
  )
})

test('a ring whose tail is beyond its end, and one without an end, end at once', () => {
  const card = new E1000Machine()
  card.start()
  card.write(0x3818, 0xffff)
  expect(card.read(0x3810)).toBe(0)
  card.write(0x3808, 0)
  card.write(0x3818, 3)
  expect(card.read(0x3810)).toBe(0)
  card.write(0x3808, 256)
  card.write(0x3818, 0)
  card.write(0x3810, 200)
  card.write(0x3818, 5)
  expect(card.read(0x3810)).toBe(200)
})

test('segments of one byte come in batches, with time between them', () => {
  const card = new E1000Machine()
  card.start()
  card.sendContext([14, 24, 33, 0, 34, 50, 0, 0], 0x0f, 54, 1, 2000)
  card.sendData({ gpa: 0x8_0000, bytes: 2054, command: 0x0d, options: 3 })
  expect(card.network.sent.length).toBeLessThan(256)
  card.machine.advance(1e6)
  expect(card.network.sent.length).toBe(2000)
})
