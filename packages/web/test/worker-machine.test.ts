/** The Worker's side without a page: what a page that says little gets. */
import { buildGuestImage } from '@retrap/embedded-guest'
import { bytesSource, readSnapshotDescription } from '@retrap/snapshot'
import { expect, test } from 'vitest'
import type { SentOptions } from '../src/protocol.ts'
import { WorkerMachine } from '../src/worker/worker-machine.ts'

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
