// A PCI card and its driver, tested: however long the host takes to add, a run executes the same instructions.
import type { DeviceModel } from '@retrap/device'
import { createPc, type Pc, recordPc, replayPc } from '@retrap/machine'
import { BootedMachine } from '@retrap/test'
import { afterAll, expect, test } from 'vitest'
import { cardKernel } from '../support/card-kernel.ts'

const card = new URL('../../../../packages/device/examples/pci-card.ts', import.meta.url).href
const { makeCard } = (await import(card)) as { makeCard: (add: (bytes: Uint8Array) => Promise<number>) => DeviceModel }

/** The part of the card that takes its time, here as long as a test wants. */
let hostMs = 0
let began = () => {}
async function add(bytes: Uint8Array): Promise<number> {
  began()
  await new Promise((resolve) => setTimeout(resolve, hostMs))
  return bytes.reduce((sum, byte) => sum + byte, 0)
}

const kernel = cardKernel() // it adds 1 to a letter that is typed
const options = () => ({
  memoryBytes: 4 << 20,
  kernel,
  jit: true,
  clock: 'deterministic' as const,
  devices: [makeCard(add)],
})
const booted = await BootedMachine.pc({ pc: options(), ready: '>', record: false })
afterAll(() => booted.close())

test('36 runs on a host that takes 0, 1 and 50 ms are the same', async () => {
  const ends = new Set<string>()
  for (let i = 0; i < 36; i++) {
    hostMs = [0, 1, 50][i % 3]!
    await booted.run(async (run) => {
      const before = run.machine.statistics().instructions
      run.type('a')
      expect(await run.until('b')).toBe('b')
      ends.add(`${run.machine.statistics().instructions - before} instructions, ${run.machine.domain.clock.now()} ns`)
    })
  }
  expect(ends.size).toBe(1)
})

/** Types a letter when the kernel is ready, and stops when the answer has been printed. */
async function toEnd(pc: Pc, run: (signal: AbortSignal) => Promise<unknown>): Promise<string> {
  const stop = new AbortController()
  let printed = ''
  pc.serial.onTransmit((bytes) => {
    printed += String.fromCharCode(...bytes)
    if (printed === '>') pc.serial.receive(Uint8Array.of(97))
    if (printed.endsWith('b')) stop.abort()
  })
  await run(stop.signal)
  return printed
}

test('a recorded run is replayed', async () => {
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options(), (bytes) => void pieces.push(bytes.slice()))
  expect(await toEnd(recorder.pc, (signal) => recorder.pc.run({ signal }))).toBe('>b')
  await recorder.end()
  recorder.pc.close()
  hostMs = 20 // another host than the one that was recorded
  const file = new Uint8Array(Buffer.concat(pieces))
  let printed = ''
  const replay = await replayPc(
    options(),
    { bytes: file.length, read: (offset, bytes) => file.subarray(offset, offset + bytes) },
    { onMachine: (pc) => pc.serial.onTransmit((bytes) => (printed += String.fromCharCode(...bytes))) },
  )
  await replay.run({ timeoutMs: 10_000 })
  expect([printed, replay.instructions]).toEqual(['>b', recorder.instructions])
  replay.close()
})

test('a machine that is saved while the card adds goes on elsewhere', async () => {
  const pc = await createPc(options())
  hostMs = 20
  await toEnd(pc, (signal) => {
    const asked = new AbortController()
    began = () => asked.abort()
    return pc.run({ signal: AbortSignal.any([signal, asked.signal]) })
  })
  const snapshot = await pc.save()
  pc.close()
  const other = await createPc({ ...options(), snapshot })
  expect(await toEnd(other, (signal) => other.run({ signal }))).toBe('b')
  other.close()
})
