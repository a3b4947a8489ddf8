/** The Worker's side without a page: what a page that says little gets. */
import { buildGuestImage } from '@retrap/embedded-guest'
import { bytesSource, readSnapshotDescription } from '@retrap/snapshot'
import { describe, expect, test } from 'vitest'
import type { SentOptions } from '../src/protocol.ts'
import { WorkerMachine } from '../src/worker/worker-machine.ts'
import { diskGuest, endingGuest, loopingGuest } from './support/guests.ts'

const PATIENT = { timeout: 60_000, interval: 20 }

const firmware = { bytes: new Uint8Array(buildGuestImage()) }

test.each([
  [undefined, 128],
  [16, 16],
])('of %s MiB that a page asks for, a machine has %d', async (asked, has) => {
  const memoryBytes = asked === undefined ? {} : { memoryBytes: asked << 20 }
  const options: SentOptions = { images: { firmware }, drives: null, shared: false, tablet: true, ...memoryBytes }
  const machine = await WorkerMachine.open(options, () => {})
  const file = new Uint8Array(await (await machine.save()).arrayBuffer())
  const description = await readSnapshotDescription(bytesSource(file))
  expect(description).toMatchObject({ page: { memoryBytes: has * 2 ** 20 } })
  // What the command line takes: a controller, and then the device on it.
  const { arguments: given } = description as { arguments: string[] }
  expect(given.join(' ')).toContain('--device qemu-xhci --device usb-tablet')
})

test('a write that is under way when the machine goes back is not on its disk then', async () => {
  const disk = new Uint8Array(1 << 20).fill(0x41)
  const drives = [{ id: 'disk0', source: { bytes: disk } }]
  const options: SentOptions = {
    images: { firmware: { bytes: new Uint8Array(diskGuest()) } },
    drives,
    shared: false,
    memoryBytes: 16 << 20,
  }
  let said = ''
  const machine = await WorkerMachine.open(options, (message) => {
    if ('event' in message && message.event === 'serial') said += new TextDecoder().decode(message.bytes)
  })
  const type = (text: string): void => machine.told({ tell: 'serial', bytes: new TextEncoder().encode(text) })
  await machine.run()
  await expect.poll(() => said, PATIENT).toBe('r')
  const bytes = new Uint8Array(await (await machine.save()).arrayBuffer())
  machine.told({ tell: 'diskDelay', ms: 4000 })
  // The rest of what it lies in is read first.
  type('b')
  await expect.poll(async () => (await machine.inspect()).requests.length, PATIENT).toBeGreaterThan(0)
  machine.told({ tell: 'diskDelay', ms: 0 })
  // The guest waits for it in a loop: others have their turns sooner without.
  await machine.pause()
  await machine.restore({ bytes })
  await machine.run()
  said = ''
  type('2')
  await expect.poll(() => said, PATIENT).toBe('A')
  await machine.pause()
})

describe('a single step', () => {
  const open = async (image: Uint8Array): Promise<[machine: WorkerMachine, events: string[]]> => {
    const events: string[] = []
    const options: SentOptions = {
      images: { firmware: { bytes: new Uint8Array(image) } },
      drives: null,
      shared: false,
      memoryBytes: 16 << 20,
    }
    const machine = await WorkerMachine.open(options, (message) => {
      if ('event' in message && message.event === 'state') events.push(message.state)
    })
    return [machine, events]
  }

  test('settles, and is one instruction, however many are asked for at once', async () => {
    const [machine, events] = await open(loopingGuest())
    // A first one, of a machine that was never run.
    expect(await machine.step(0)).toBe(true)
    const { instructions } = machine.statistics()
    expect(await Promise.all([machine.step(0), machine.step(0), machine.step(0)])).toEqual([true, true, true])
    expect(machine.statistics().instructions - instructions).toBe(3)
    expect(events.at(-1)).toBe('paused')
    await expect(machine.step(1)).rejects.toThrow('vCPU 1: expected 0 to 0')
    expect(events.at(-1)).toBe('paused')
  })

  test('is followed by what was asked for meanwhile: a run, a pause, a reset', async () => {
    const [machine, events] = await open(loopingGuest())
    const [first] = await Promise.all([machine.step(0), machine.run()])
    expect(first).toBe(true)
    await expect.poll(() => events.at(-1), PATIENT).toBe('running')
    const [second] = await Promise.all([machine.step(0), machine.pause()])
    expect(second).toBe(true)
    expect(events.at(-1)).toBe('paused')
    const third = machine.step(0)
    await machine.reset()
    expect(typeof (await third)).toBe('boolean')
    await expect.poll(() => events.at(-1), PATIENT).toBe('running')
    await machine.pause()
  })

  test('of a machine that ends by it, and of one that is off', async () => {
    const [machine, events] = await open(endingGuest())
    for (let i = 0; i < 64 && events.at(-1) !== 'off'; i++)
      // oxlint-disable-next-line no-await-in-loop -- one instruction after the other
      await machine.step(0).catch(() => {})
    expect(events.at(-1)).toBe('off')
    await expect(machine.step(0)).rejects.toThrow('the machine is off')
  })
})

test('a machine that is off goes back to a snapshot, and is paused there', async () => {
  const events: string[] = []
  const images = { firmware: { bytes: new Uint8Array(endingGuest()) } }
  const machine = await WorkerMachine.open(
    { images, drives: null, shared: false, memoryBytes: 16 << 20 },
    (message) => {
      if ('event' in message && message.event === 'state') events.push(message.state)
    },
  )
  const bytes = new Uint8Array(await (await machine.save()).arrayBuffer())
  for (const _ of [1, 2]) {
    // oxlint-disable-next-line no-await-in-loop -- one life after the other
    await machine.run()
    // oxlint-disable-next-line no-await-in-loop
    await expect.poll(() => events.at(-1), PATIENT).toBe('off')
    // oxlint-disable-next-line no-await-in-loop
    await machine.restore({ bytes })
    expect(events.at(-1)).toBe('paused')
    expect(machine.statistics().instructions).toBe(0)
  }
})
