import { expect, test } from 'vitest'
import { type PciFunction, type PciFunctionOptions } from '../src/index.ts'
import { BUS_MASTER, COMMAND, config, ID, ones, tree } from './support/pci.ts'

const CARD = 1 << 8
const MESSAGES = 0x50

/** A port at device 3, a bridge below it, and a card below that. */
function slotted() {
  const made = tree()
  const log: string[] = []
  const port: PciFunction = made.add({
    classCode: 0x06_0400,
    bridge: {
      busName: 'slot',
      slot: {
        inserted: (hot) => void log.push(`inserted${hot ? ' hot' : ''}`),
        requested: () => void log.push('requested'),
        removed: () => void log.push('removed'),
      },
    },
  })
  const addCard = (given: Partial<PciFunctionOptions> = {}): PciFunction =>
    made.tree.add('guest', {
      bus: 'slot',
      device: 0,
      vendorId: 1,
      deviceId: 2,
      classCode: 0x02_0000,
      interruptPin: 1,
      bars: [{ index: 0, kind: 'memory', bytes: 4096, handler: ones }],
      msi: { vectors: 1, at: MESSAGES },
      ...given,
    })
  const above = config(made.tree)
  above.write(0x18, 0x0001_0100)
  above.write(0x20, 0xe010_e010)
  above.write(COMMAND, 7, 2)
  return { ...made, log, port, addCard, above, card: config(made.tree, CARD) }
}

/** Has the card decode, master the bus and send messages. */
function enable({ card }: ReturnType<typeof slotted>): void {
  card.write(0x10, 0xe010_0000)
  card.write(MESSAGES + 4, 0xfee0_0000)
  card.write(MESSAGES + 2, 1, 2)
  card.write(COMMAND, 6, 2)
}

test('what is in a slot answers, decodes and sends while it is connected', () => {
  const made = slotted()
  expect(made.port.slot!.occupied).toBe(false)
  const fn = made.addCard()
  expect(made.tree.arrived('guest', true)).toBe(true)
  expect([made.log, made.port.slot!.occupied, made.port.slot!.connected]).toEqual([['inserted hot'], true, false])
  expect([made.card.read(0), made.tree.requesters()]).toEqual([-1, [ID]])
  made.port.slot!.connect()
  enable(made)
  expect([made.card.read(0), made.regions[0]!.enabled, fn.mayMaster]).toEqual([0x0002_0001, true, true])
  fn.messages!.signal(0)
  expect(made.messages).toHaveLength(1)
  void made.port.slot!.disconnect()
  expect([made.card.read(0), made.regions[0]!.enabled, fn.mayMaster]).toEqual([-1, false, false])
  // What a model does to its registers meanwhile changes nothing.
  fn.config.set([6, 0], COMMAND)
  fn.config.set([0, 0, 0x10, 0xe0], 0x10)
  fn.update()
  expect([made.regions[0]!.enabled, fn.mayMaster]).toEqual([false, false])
  fn.reset()
  // It was reset with that.
  made.port.slot!.connect()
  expect([made.card.read(COMMAND, 2), made.card.read(0x10)]).toEqual([0, 0])
  made.tree.remove('guest', false)
  expect([made.port.slot!.occupied, made.tree.arrived('guest', true)]).toEqual([false, false])
})

test('messages and mastering end with the bus master bit of the bridge above, which the model is told', () => {
  const made = slotted()
  const told: number[] = []
  const fn = made.addCard({ onWrite: (register) => void told.push(register) })
  made.port.slot!.connect()
  enable(made)
  told.length = 0
  made.above.write(COMMAND, 7 & ~BUS_MASTER, 2)
  fn.messages!.signal(0)
  expect([fn.mayMaster, told, made.messages]).toEqual([false, [COMMAND], []])
  made.above.write(COMMAND, 7, 2)
  expect([fn.mayMaster, told]).toEqual([true, [COMMAND, COMMAND]])
})

test('models below two bridges are told to rest, by a disconnection and by a reset of the bus', () => {
  const rested: string[] = []
  const made = slotted()
  made.host.rest = async (owners) => void rested.push(owners.join(' '))
  made.addCard({ bridge: { busName: 'lower' }, bars: [], classCode: 0x06_0400 })
  made.tree.add('deep', { bus: 'lower', device: 0, vendorId: 1, deviceId: 3, classCode: 0x02_0000 })
  void made.port.slot!.disconnect()
  made.above.write(0x3e, 0x40, 2)
  expect(rested).toEqual(['guest deep', 'guest deep'])
})

test('the connection is part of the saved state', () => {
  const [first, second] = [slotted(), slotted()]
  for (const each of [first, second]) each.addCard()
  first.port.slot!.connect()
  enable(first)
  second.tree.restore(first.tree.save())
  expect([second.card.read(0), second.regions[0]!.enabled]).toEqual([0x0002_0001, true])
  second.tree.restore(slotted().tree.save())
  expect(second.card.read(0)).toBe(-1)
})

test('bits of a capability are cleared by ones, others kept', () => {
  const made = tree()
  const fn = made.add({
    capabilities: [
      {
        id: 9,
        at: 0x40,
        body: Uint8Array.of(0xff, 0x0f),
        writable: Uint8Array.of(0x0f),
        clearable: Uint8Array.of(0x30, 1),
      },
    ],
  })
  const { read, write } = config(made.tree)
  write(0x42, 0x0110, 2)
  expect(read(0x42, 2)).toBe(0x0ee0)
  write(0x42, 0x0f, 1)
  expect(read(0x42, 2)).toBe(0x0eef)
  fn.config[0x42] = 0x3f
  write(0x42, 0, 1)
  expect(read(0x42, 1)).toBe(0x30)
})
