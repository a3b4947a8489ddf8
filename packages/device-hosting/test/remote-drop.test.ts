/** A server of another process that is disabled counts as having dropped what it had mapped when nothing is under way. */
import { expect, test } from 'vitest'
import { defineDevice, type DeviceContext } from '@retrap/device'
import { DeviceServer, RemoteServer, type Frame } from '../src/index.ts'
import { createIoRequest, IOREQ_TYPE_COPY, IOREQ_WRITE, STATUS_DONE, STATUS_RETRY } from '@retrap/ioreq'
import { makeMachine } from './machine.ts'

const DEVICE = 0x8_0000

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

/** A remote server whose frames arrive when the test says so. */
function remote() {
  const machine = makeMachine()
  const commands: Frame[] = []
  const events: Frame[] = []
  const { dispatch, platform } = machine
  const near = new RemoteServer(
    dispatch,
    platform,
    {
      send: (frame) => void commands.push(frame),
      notify: () => undefined,
      notifyBuffered: () => undefined,
      close: () => undefined,
    },
    { name: 'far' },
  )
  const far = new DeviceServer({ send: (frame) => void events.push(frame), answer: () => undefined })
  const held = Promise.withResolvers<void>()
  let context: DeviceContext | undefined
  const model = defineDevice({
    name: 'writer',
    mmio: { base: DEVICE, size: 8, buffered: true },
    // What the guest has asked for takes its time, and ends with a transfer.
    write: async () => {
      await held.promise
      await context?.dma.writeAsync(0x40, Uint8Array.of(0xaa))
    },
    attach: (given) => (context = given),
  })
  far.attach(model)
  far.ready()
  const deliver = (): void => {
    for (const frame of commands.splice(0)) far.receive(frame)
  }
  const arrive = (): void => {
    for (const frame of events.splice(0)) near.take(frame)
  }
  deliver()
  arrive()
  return { ...machine, near, far, held, deliver, arrive }
}

test('a buffered write and its transfer are waited for, though the server is disabled', async () => {
  const { dispatch, near, far, held, deliver, arrive, ram, completed } = remote()
  const request = { ...createIoRequest(), type: IOREQ_TYPE_COPY, direction: IOREQ_WRITE, addressLo: DEVICE, size: 4 }
  expect(dispatch.submit(0, request)).toBe(STATUS_DONE)
  near.server.setState(false)
  expect(dispatch.requests.invalidate(1)).toBe(STATUS_RETRY)
  expect(near.server.ring?.consume(request)).toBe(true)
  far.serveBuffered(request)
  deliver()
  await turns()
  arrive()
  await turns()
  expect([dispatch.requests.has(1), completed]).toEqual([true, []])
  held.resolve()
  await turns()
  expect(ram[0x40]).toBe(0)
  arrive()
  deliver()
  await turns()
  expect([ram[0x40], dispatch.requests.has(1)]).toEqual([0xaa, true])
  arrive()
  await turns()
  expect([dispatch.requests.has(1), completed]).toEqual([false, [1]])
})

test('one that ends meanwhile has nothing under way', async () => {
  const { dispatch, near, completed } = remote()
  near.server.setState(false)
  expect(dispatch.requests.invalidate(0)).toBe(STATUS_RETRY)
  near.close()
  await turns()
  expect([dispatch.requests.has(0), completed]).toEqual([false, [0]])
})
