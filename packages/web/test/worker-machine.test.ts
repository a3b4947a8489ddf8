/** The Worker's side without a page: what a page that says little gets. */
import { buildGuestImage } from '@retrap/embedded-guest'
import { bytesSource, readSnapshotDescription } from '@retrap/snapshot'
import { expect, test } from 'vitest'
import type { SentOptions } from '../src/protocol.ts'
import { WorkerMachine } from '../src/worker/worker-machine.ts'
import { diskGuest } from './support/guests.ts'

const PATIENT = { timeout: 60_000, interval: 20 }

const firmware = { bytes: new Uint8Array(buildGuestImage()) }

test.each([
  [undefined, 128],
  [16, 16],
])('of %s MiB that a page asks for, a machine has %d', async (asked, has) => {
  const memoryBytes = asked === undefined ? {} : { memoryBytes: asked << 20 }
  const options: SentOptions = { images: { firmware }, drives: null, shared: false, ...memoryBytes }
  const machine = await WorkerMachine.open(options, () => {})
  const file = new Uint8Array(await (await machine.save()).arrayBuffer())
  const description = await readSnapshotDescription(bytesSource(file))
  expect(description).toMatchObject({ page: { memoryBytes: has * 2 ** 20 } })
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
  machine.run()
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
  machine.run()
  said = ''
  type('2')
  await expect.poll(() => said, PATIENT).toBe('A')
  await machine.pause()
})
