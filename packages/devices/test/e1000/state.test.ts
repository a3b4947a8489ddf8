import { expect, test } from 'vitest'
import { E1000Machine, MAC } from '../support/e1000-machine.ts'

const SOURCE = 0x8_0000

/** Another machine with the memory and the state of this one, as a snapshot carries them. */
function restored(card: E1000Machine): E1000Machine {
  card.model.quiesce()
  const state: unknown = structuredClone(card.model.save())
  const other = new E1000Machine()
  other.machine.ram.set(card.machine.ram)
  other.machine.time = card.machine.time
  other.model.restore(state)
  other.model.resume()
  return other
}

test('a packet half sent, an interrupt that waits and all registers go on in another machine', () => {
  const card = new E1000Machine()
  card.start()
  card.network.room = 1
  card.machine.ram.set([...MAC, ...MAC, 8, 0, 0x45], SOURCE)
  card.sendContext([14, 24, 33, 0, 34, 50, 0, 0], 0x0f, 54, 1000, 2500)
  card.sendData({ gpa: SOURCE, bytes: 2554, command: 0x8d, options: 3 })
  card.sendData({ gpa: SOURCE, bytes: 30, command: 0x00 })
  card.write(0xd0, 0x10)
  card.write(0xc4, 1000)
  card.write(0xc8, 0x10)
  card.read(0xc0)
  card.write(0xc8, 0x10)
  expect([card.network.sent.length, card.pin]).toEqual([1, false])
  const other = restored(card)
  expect(other.network.sent.map(({ length }) => length)).toEqual([1054, 554])
  other.machine.advance(300_000)
  expect(other.pin).toBe(true)
  // The packet of which one descriptor has been taken is completed.
  other.sendData({ gpa: SOURCE, bytes: 40 })
  expect(other.network.sent[2]?.length).toBe(70)
  expect(other.read(0x3810)).toBe(4)
  expect(other.read(0x5400)).toBe(card.read(0x5400))
})

test('frames that come during a snapshot stay with the network', () => {
  const card = new E1000Machine()
  card.start()
  card.give(4)
  card.model.quiesce()
  const frame = Uint8Array.from({ length: 60 }, (_, i) => MAC[i] ?? 0)
  expect(card.network.client!.receive(frame)).toBe(false)
  expect(card.received(0).status).toBe(0)
  card.model.resume()
  expect(card.network.readies).toBe(1)
  expect(card.network.client!.receive(frame)).toBe(true)
})

test('a machine whose cable is not plugged in loses the link of the saved one', () => {
  const card = new E1000Machine()
  card.start()
  const state = card.model.save()
  const other = new E1000Machine()
  other.network.linkUp = false
  other.model.restore(state)
  other.model.resume()
  expect(other.read(8) & 2).toBe(0)
  expect(other.read(0xc0) & 4).toBe(4)
})

test('a cable that is pulled while the link is negotiated stays pulled in another machine', () => {
  const card = new E1000Machine()
  card.start()
  card.network.client!.linkChanged(true)
  const state = card.model.save()
  const other = new E1000Machine()
  other.network.linkUp = false
  other.model.restore(state)
  other.model.resume()
  other.machine.advance(1e9)
  expect(other.read(8) & 2).toBe(0)
})

test('a cable that is pulled during a snapshot is reported after it', () => {
  const card = new E1000Machine()
  card.start()
  card.write(0xd0, 0x04)
  card.read(0xc0)
  card.model.quiesce()
  card.network.linkUp = false
  card.network.client!.linkChanged(false)
  expect(card.pin).toBe(false)
  card.model.resume()
  expect([card.pin, card.read(8) & 2]).toEqual([true, 0])
})

test('a reset of the machine returns to the state at power-on', () => {
  const fresh = new E1000Machine()
  const card = new E1000Machine()
  card.start()
  card.give(4)
  card.writePhy(0, 0x1340)
  card.write(0x10, 0x42)
  card.sendLegacy(SOURCE, 20, 0)
  card.model.reset()
  expect(card.model.save()).toEqual(fresh.model.save())
})
