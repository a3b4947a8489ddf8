import { TestDisk, turn } from '@retrap/device/test-machine'
import { expect, test } from 'vitest'
import { StorageGuest } from './support/storage-guest.ts'
import { TestDevice } from './support/test-device.ts'
import { DATA, IOC, trbType, XhciDriver } from './support/xhci-driver.ts'

/** Another machine with the same memory and medium, which goes on from what the first one saves. */
async function moved(one: StorageGuest, medium: TestDisk): Promise<StorageGuest> {
  const { model, machine } = one.driver
  void model.quiesce()
  await turn()
  const state: unknown = structuredClone(model.save())
  const two = new StorageGuest(medium, {}, one)
  two.driver.machine.now.set(machine.now)
  two.driver.model.restore(state)
  expect(two.driver.model.save()).toEqual(state)
  two.driver.model.resume()
  return two
}

test('a read that the medium had not answered is asked again', async () => {
  const disk = new TestDisk(1 << 16)
  const one = await StorageGuest.ready(disk)
  disk.hold = true
  one.begin([0x28, 0, 0, 0, 0, 3, 0, 0, 2], { toHost: 1024 })
  await turn()
  expect(disk.held).toBe(1)
  disk.hold = false
  const two = await moved(one, disk)
  const { data, status } = await two.end(1024)
  expect(status).toBe(0)
  expect(data).toEqual(disk.bytes.slice(1536, 2560))
})

test('a write that the medium had answered is not made again', async () => {
  const disk = new TestDisk(1 << 16)
  const one = await StorageGuest.ready(disk)
  one.begin([0x2a, 0, 0, 0, 0, 3, 0, 0, 2], { out: new Uint8Array(1024).fill(9) })
  await turn()
  const two = await moved(one, disk)
  expect(await two.end()).toMatchObject({ status: 0 })
  expect(disk.log.filter((line) => line.startsWith('write'))).toHaveLength(1)
  expect(disk.bytes[1536]).toBe(9)
})

test('rings, ports and interrupts go on', async () => {
  const disk = new TestDisk(1 << 16)
  const one = await StorageGuest.ready(disk)
  // Round the event ring a few times
  for (let i = 0; i < 20; i++) await one.sense()
  const two = await moved(one, disk)
  for (let i = 0; i < 20; i++) await two.sense()
  expect(await two.command([0x25], { toHost: 8 })).toMatchObject({ status: 0 })
})

test('nothing is answered between quiesce and resume', async () => {
  const device = new TestDevice()
  const driver = new XhciDriver([device])
  driver.start()
  const slot = driver.address(5, 1)
  driver.configure(slot)
  driver.addEndpoint(slot, 3, 6)
  driver.events()
  driver.put(32 * slot + 3, [DATA, 0, 8, trbType(1) | IOC])
  driver.doorbell(slot, 3)
  await driver.model.quiesce()
  device.answers.push(new Uint8Array(8))
  device.port.wake(0x81)
  expect(driver.events(false)).toEqual([])
  driver.model.resume()
  expect(driver.events()).toMatchObject([{ code: 1 }])
})

test('saving changes nothing: rings without a doorbell are not looked at, nor in a machine that goes on from it', async () => {
  const make = (): { device: TestDevice; driver: XhciDriver } => {
    const device = new TestDevice()
    return { device, driver: new XhciDriver([device]) }
  }
  const one = make()
  one.driver.start()
  const slot = one.driver.address(5, 1)
  one.driver.configure(slot)
  one.driver.addEndpoint(slot, 3, 6)
  one.driver.events()
  one.driver.put(32 * slot + 3, [DATA, 0, 8, trbType(1) | IOC])
  await one.driver.model.quiesce()
  one.device.answers.push(new Uint8Array(8))
  const state: unknown = structuredClone(one.driver.model.save())
  one.driver.model.resume()
  expect(one.driver.events(false)).toEqual([])
  const two = make()
  two.device.answers.push(new Uint8Array(8))
  two.driver.machine.ram.set(one.driver.machine.ram)
  two.driver.machine.now.set(one.driver.machine.now)
  two.driver.model.restore(state)
  two.driver.model.resume()
  expect(two.device.answers).toHaveLength(1)
  // Versions of old did not say which rings had been rung for.
  two.driver.model.restore({ ...(state as object), ready: undefined, wasCalled: undefined })
  two.driver.model.resume()
  expect(two.device.answers).toHaveLength(0)
  one.driver.doorbell(slot, 3)
  expect(one.driver.events()).toMatchObject([{ code: 1 }])
})

test('a reset of the controller cancels a read: no byte of it arrives', async () => {
  const disk = new TestDisk(1 << 16)
  const guest = await StorageGuest.ready(disk)
  disk.hold = true
  guest.begin([0x28, 0, 0, 0, 0, 3, 0, 0, 2], { toHost: 1024 })
  await turn()
  guest.driver.machine.write(0x40, 2)
  const before = guest.driver.machine.ram.slice()
  expect(disk.signals.at(-1)?.aborted).toBe(true)
  disk.release()
  await turn()
  guest.driver.machine.advance(1_000_000)
  expect(guest.driver.machine.ram).toEqual(before)
})

test('a state of other devices, or of another version, is refused', () => {
  const { model } = new XhciDriver([new TestDevice('a')])
  const other = new XhciDriver([new TestDevice('b')]).model
  expect(() => model.restore(other.save())).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
  expect(() => model.restore({ version: 2 })).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
})

test.each([
  ['registers', [1, '0'], '[1] of the saved state is a string: expected a number'],
  ['commands', { pointer: [0, 0], place: null }, '.running of the saved state is missing: expected a boolean'],
  ['hub', { ports: [{ bits: 1 }], devices: [] }, '.ports[0].link of the saved state is missing: expected a number'],
  ['interrupters', Array(8).fill({}), '[0].registers of the saved state is missing: expected an array'],
])('a state with %s of another shape is refused, and changes nothing', (name, value, fault) => {
  const { model, machine } = new XhciDriver([new TestDevice('a')])
  machine.write(0x78, 5)
  const before = model.save()
  expect(() => model.restore({ ...before, [name]: value })).toThrow(
    expect.objectContaining({ code: 'ERR_STATE', message: `xhci: ${name}${fault}` }),
  )
  expect(model.save()).toEqual(before)
})
