import { turn } from '@retrap/device/test-machine'
import { expect, test } from 'vitest'
import { type VirtioAnswer, type VirtioDevice, VirtioPci } from '../src/index.ts'
import { PciDriver } from './support/pci-driver.ts'
import { PackedDriver, SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const PLACE = { size: 16, descriptors: 0x1000, driver: 0x2000, device: 0x3000, eventIndex: false }

test.each([
  ['goes on, is not told to rest when its request ends', true, 0],
  ['waits, is told to rest when its request ends', false, 1],
])('a device whose machine %s', async (_what, resumes, quiesced) => {
  const { promise, resolve } = Promise.withResolvers<VirtioAnswer>()
  let calls = 0
  const device: VirtioDevice = {
    name: 'slow',
    type: 4,
    queues: [{ handle: () => promise }],
    quiesce: () => void calls++,
  }
  const { model, driver } = started(device)
  driver.notify(0)
  const quiet = model.quiesce(1)
  await turn()
  if (resumes) model.resume()
  resolve(0)
  await quiet
  expect(calls).toBe(quiesced)
})

test.each([
  ['split', [32]],
  ['packed', [32, 34]],
])(
  'in a %s ring, a device is at rest until its driver publishes a chain, and again when that is answered',
  async (layout, features) => {
    const { promise, resolve } = Promise.withResolvers<VirtioAnswer>()
    let isAtRest = true
    const device: VirtioDevice = {
      name: 'slow',
      type: 4,
      queues: [{ handle: () => promise }, { notify: () => undefined }],
      isAtRest: () => isAtRest,
    }
    const model = new VirtioPci(device, { device: 3, packed: true })
    expect(model.isAtRest()).toBe(true)
    const machine = new VirtioMachine(model)
    const driver = new PciDriver(machine)
    expect(driver.negotiate(features)).toBe(true)
    const other = { size: 16, descriptors: 0x4000, driver: 0x5000, device: 0x6000, eventIndex: false }
    driver.setQueue(0, PLACE)
    driver.setQueue(1, other)
    driver.start()
    const Driver = layout === 'packed' ? PackedDriver : SplitDriver
    const [ring, buffers] = [new Driver(machine.view, PLACE), new Driver(machine.view, other)]
    // What a device of its own takes when it needs it is no work that waits.
    buffers.add([{ gpa: 0x1_0000, length: 8, write: true }], 1)
    buffers.publish()
    expect(model.isAtRest()).toBe(true)
    ring.add([{ gpa: 0x1_0000, length: 8, write: true }], 1)
    expect(model.isAtRest()).toBe(true)
    ring.publish()
    expect(model.isAtRest()).toBe(false)
    driver.notify(0)
    expect(model.isAtRest()).toBe(false)
    resolve(0)
    await turn()
    expect(model.isAtRest()).toBe(false)
    machine.advance(20_000)
    expect(model.isAtRest()).toBe(true)
    isAtRest = false
    expect(model.isAtRest()).toBe(false)
  },
)

/** A device that goes on with the state of another, in a machine like its. */
function goneOn(device: VirtioDevice, saved: unknown, { ram, now, fn }: VirtioMachine) {
  const model = new VirtioPci(device, { device: 3 })
  const machine = new VirtioMachine(model)
  machine.ram.set(ram)
  machine.now.set(now)
  machine.fn!.restore(structuredClone(fn!.save()))
  model.restore(structuredClone(saved))
  model.resume()
  return { machine, driver: new PciDriver(machine) }
}

/** A device of one queue whose driver has started it, and published a chain. */
function started(device: VirtioDevice) {
  const model = new VirtioPci(device, { device: 3 })
  const machine = new VirtioMachine(model)
  const driver = new PciDriver(machine)
  expect(driver.negotiate([32])).toBe(true)
  driver.setQueue(0, PLACE)
  driver.start()
  const ring = new SplitDriver(machine.view, PLACE)
  ring.add([{ gpa: 0x1_0000, length: 8, write: true }], 1)
  ring.publish()
  return { model, machine, driver }
}

test('a chain that the driver has not notified of is not looked at when its machine was saved', async () => {
  let calls = 0
  const device: VirtioDevice = { name: 'counts', type: 4, queues: [{ handle: () => calls++ }] }
  const { model, machine, driver } = started(device)
  await model.quiesce(1)
  const saved = model.save()
  model.resume()
  const other = goneOn(device, saved, machine)
  expect(calls).toBe(0)
  driver.notify(0)
  other.driver.notify(0)
  expect(calls).toBe(2)
})

test('a notice that comes while the device stands still is served afterwards, also elsewhere', async () => {
  let calls = 0
  const device: VirtioDevice = { name: 'counts', type: 4, queues: [{ handle: () => calls++ }] }
  const { model, machine, driver } = started(device)
  await model.quiesce(1)
  driver.notify(0)
  const saved = model.save()
  goneOn(device, saved, machine)
  expect(calls).toBe(1)
  model.resume()
  expect(calls).toBe(2)
})

test('an answer that the host has comes at its instant, where the machine was saved and elsewhere', async () => {
  const device: VirtioDevice = {
    name: 'slow',
    type: 4,
    queues: [{ handle: async (chain) => () => (chain.writable.write(2, Uint8Array.of(1, 2, 3)) ? 5 : 0) }],
  }
  const { model, machine, driver } = started(device)
  driver.notify(0)
  machine.advance(5000)
  await model.quiesce(1)
  const saved = model.save()
  const other = goneOn(device, saved, machine)
  model.resume()
  for (const { ram, ...each } of [machine, other.machine].map((one) => ({ ram: one.ram, one }))) {
    each.one.advance(14_999)
    expect([ram[0x1_0002], ram[0x3002]]).toEqual([0, 0])
    each.one.advance(1)
    expect([...ram.subarray(0x1_0000, 0x1_0006), ram[0x3002], ram[0x3008]]).toEqual([0, 0, 1, 2, 3, 0, 1, 5])
  }
})

test('a request that was made before its machine was saved is not made again where its answer cannot be written', async () => {
  let calls = 0
  const device: VirtioDevice = {
    name: 'slow',
    type: 4,
    queues: [{ handle: async (chain) => (calls++, () => (chain.writable.write(0, Uint8Array.of(7)) ? 1 : 0)) }],
  }
  const { model, machine, driver } = started(device)
  driver.notify(0)
  await model.quiesce(1)
  const other = goneOn(device, model.save(), machine).machine
  other.fn!.configWrite(4, 2, 3)
  other.advance(100_000)
  other.fn!.configWrite(4, 2, 7)
  await turn()
  other.advance(100_000)
  expect([calls, other.ram[0x1_0000], other.ram[0x3002]]).toEqual([1, 7, 1])
})
