/** Devices become slow and dead while a machine is recorded: a replay has that at the same instants, and does not wait. */
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { medium } from './support/media.ts'
import { Pieces } from './support/pieces.ts'
import { pollingKernel, pollingResult } from './support/polling-guest.ts'
import { wholeState } from './support/whole-state.ts'

const closing: { close(): void }[] = []
afterEach(() => closing.splice(0).forEach((one) => one.close()))

const MEMORY_BYTES = 4 << 20
const IMAGE = Uint8Array.from({ length: 1 << 16 }, (_, i) => (i * 131) ^ (i >> 8))
const options: PcOptions = {
  memoryBytes: MEMORY_BYTES,
  codeCacheBytes: MEMORY_BYTES,
  clock: 'deterministic',
  kernel: pollingKernel(1),
  drives: [{ medium: medium(IMAGE, () => turn()) }],
}
/** Devices that the guest asks again and again. */
const DEVICES = ['serial-3f8', 'i8042', 'ide'] as const
const WAITS = { wait: () => turn() }
const IMPAIRMENTS = [null, WAITS, { dead: true }, { ...WAITS, dead: true }] as const

const change = fc.record({
  device: fc.constantFrom(...DEVICES),
  impairment: fc.constantFrom(...IMPAIRMENTS),
  /** Instructions until the next one. */
  more: fc.integer({ min: 1, max: 15_000 }),
})

test('slow and dead at any instants, they are so in the replay, and on the way back', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 3, maxLength: 6 }), async (changes) => {
      const file = new Pieces()
      const recorder = await recordPc(options, file.write, { checkpointMs: 1 })
      const { pc } = recorder
      closing.push(pc)
      const stop = new AbortController()
      const running = pc.run({ signal: stop.signal })
      const instants: number[] = []
      for (const { device, impairment, more } of changes) {
        const until = recorder.instructions + more
        pc.serial.receive(Uint8Array.of(65))
        while (recorder.instructions < until) await turn()
        instants.push(recorder.instructions)
        expect(recorder.impairDevice(device, impairment)).toBe(true)
      }
      stop.abort()
      expect(await running).toEqual({ reason: 'stopped' })
      const debug = await recorder.debugger({ read: file.read })
      // An access may still wait.
      await debug.goto(recorder.instructions + 1)
      // A checkpoint has them as they are.
      await recorder.copyEnd(() => undefined)
      const middle = recorder.instructions
      await debug.goto(middle + 2000)
      const [here, result] = [wholeState(pc, MEMORY_BYTES), pollingResult(pc)]
      // Back over all of it, and on to the same.
      for (const at of instants.toReversed()) await debug.goto(Math.max(0, at - 1))
      await debug.goto(recorder.instructions - 1)
      await debug.step()
      expect(wholeState(debug.pc, MEMORY_BYTES)).toEqual(here)
      await recorder.end()
      for (const checkpointMs of [Infinity, 1]) {
        const replay = await replayPc(options, file.source, { checkpointMs })
        closing.push(replay)
        expect(await replay.run({ timeoutMs: 60_000 })).toEqual({ reason: 'end-of-recording' })
        expect([pollingResult(replay.pc), wholeState(replay.pc, MEMORY_BYTES)]).toEqual([result, here])
        for (const at of instants.toReversed())
          expect(await replay.goto(Math.max(0, at - 1))).toEqual({ reason: 'arrived' })
        expect(await replay.goto(replay.end)).toEqual({ reason: 'end-of-recording' })
        expect(wholeState(replay.pc, MEMORY_BYTES)).toEqual(here)
      }
      const late = await replayPc(options, file.source, { at: middle + 1000 })
      closing.push(late)
      expect(await late.goto(late.end)).toEqual({ reason: 'end-of-recording' })
      expect(wholeState(late.pc, MEMORY_BYTES)).toEqual(here)
      closing.splice(0).forEach((one) => one.close())
    }),
    { numRuns: 3 },
  )
})
