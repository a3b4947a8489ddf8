import { turn } from '@retrap/device-test'
import { expect, test } from 'vitest'
import { type VirtioAnswer, type VirtioDevice, VirtioPci } from '../src/index.ts'
import { PciDriver } from './support/pci-driver.ts'
import { SplitDriver } from './support/ring-drivers.ts'
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
  const model = new VirtioPci(device, { device: 3 })
  const machine = new VirtioMachine(model)
  const driver = new PciDriver(machine)
  expect(driver.negotiate([32])).toBe(true)
  driver.setQueue(0, PLACE)
  driver.start()
  const ring = new SplitDriver(machine.view, PLACE)
  ring.add([{ gpa: 0x1_0000, length: 8, write: true }], 1)
  ring.publish()
  driver.notify(0)
  const quiet = model.quiesce(1)
  await turn()
  if (resumes) model.resume()
  resolve(0)
  await quiet
  expect(calls).toBe(quiesced)
})
