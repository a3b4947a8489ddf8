/** Frames between a hypervisor and a device Worker, where a stream has no room for all of them. */
import { expect, test } from 'vitest'
import { Doorbell } from '../src/doorbell.ts'
import type { Frame } from '../src/frames.ts'
import { createSharedDeviceMemory, SharedEnd } from '../src/shared-memory.ts'

/** Both ends of one memory, and the frames that each has received. */
function ends() {
  const memory = createSharedDeviceMemory(new Doorbell())
  const received: { readonly hypervisor: Frame[]; readonly devices: Frame[] } = { hypervisor: [], devices: [] }
  const hypervisor = new SharedEnd(memory, 'hypervisor', (frame) => void received.hypervisor.push(frame))
  const devices = new SharedEnd(memory, 'devices', (frame) => void received.devices.push(frame))
  return { hypervisor, devices, received }
}

const frame = (bytes: number, value: number): Frame => ({
  kind: 'dmaDone',
  call: value,
  ok: true,
  bytes: new Uint8Array(bytes).fill(value),
})

test.each([
  { what: 'one frame', sizes: [100_000] },
  { what: 'a frame of several streams', sizes: [400_000] },
  { what: 'several frames', sizes: [40_000, 40_000, 10, 100_000, 0] },
])('what waits for room goes on whenever its sender looks: $what', ({ sizes }) => {
  const { hypervisor, devices, received } = ends()
  const sent = sizes.map((bytes, i) => frame(bytes, i + 1))
  for (const each of sent) hypervisor.write(each)
  let turns = 0
  for (; received.devices.length < sent.length && turns < 100; turns++) {
    devices.receive()
    // Nothing has come for it, and it sends the next part all the same.
    expect(hypervisor.receive()).toBe(false)
  }
  expect(received.devices).toEqual(sent)
  expect(hypervisor.flush()).toBe(true)
})
