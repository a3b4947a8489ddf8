/** A run whose recording stays within its bytes: the oldest past is dropped, and what is left can be gone through. */
import { setImmediate as turn } from 'node:timers/promises'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { RecordingRing } from '@retrap/recording'
import { expect, test } from 'vitest'
import { MachineError, type Pc, type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { medium } from './support/media.ts'
import { COUNT_ADDRESS, pollingKernel, pollingResult } from './support/polling-guest.ts'

const MOST_BYTES = 256 << 10
const options = (): PcOptions => {
  // Each sector has contents of its own at each reading: the log grows.
  let reads = 0
  const image = new Uint8Array(1 << 16)
  return {
    memoryBytes: 4 << 20,
    codeCacheBytes: 4 << 20,
    clock: 'deterministic',
    kernel: pollingKernel(1),
    drives: [
      {
        medium: medium(image, async () => {
          await turn()
          const salt = ++reads
          for (let i = 0; i < image.length; i += 4) image[i] = Math.imul(i + salt, 0x9e37_79b1) >>> 11
        }),
      },
    ],
  }
}

const countOf = (pc: Pc): number => (pollingResult(pc) as { count: number }).count
const registersOf = ({ domain }: Pc): unknown => domain.vcpus.map(({ cpu }) => [cpu.retired, saveVcpuRegisters(cpu)])

test('memory stays below it, and what is left is gone through, saved and run again', { timeout: 60_000 }, async () => {
  const ring = new RecordingRing(MOST_BYTES)
  let most = 0
  const begins: number[] = []
  let told = (): void => undefined
  const recorder = await recordPc(
    options(),
    (bytes) => {
      ring.write(bytes)
      told()
    },
    { ring, checkpointMs: 20 },
  )
  const { pc } = recorder
  told = () => {
    most = Math.max(most, recorder.bytes)
    if (begins.at(-1) !== recorder.begin) begins.push(recorder.begin)
  }
  kept(pc)
  const debug = await recorder.debugger({ read: ring.read })
  /** Runs on until some of the past was dropped so often more. */
  const runOn = async (drops: number): Promise<void> => {
    const stop = new AbortController()
    const running = debug.continue({ signal: stop.signal })
    for (const until = begins.length + drops; begins.length < until;) await turn()
    stop.abort()
    expect(await running).toEqual({ reason: 'stopped' })
  }
  for (let visit = 0; visit < 2; visit++) {
    await runOn(2)
    const { begin, instructions: now } = recorder
    expect(begin).toBeGreaterThan(0)
    const [counted, here] = [countOf(pc), registersOf(pc)]
    const watched = debug.watch(BigInt(COUNT_ADDRESS), 4, 'write')
    expect(await debug.reverseContinue()).toMatchObject({ reason: 'watch' })
    expect(countOf(debug.pc)).toBe(counted - 1)
    watched.remove()
    expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
    expect(debug.instructions).toBe(begin)
    expect(await debug.stepBack()).toEqual({ reason: 'begin' })
    const refused = debug.goto(begin - 1)
    await expect(refused).rejects.toThrow(MachineError)
    await expect(refused).rejects.toThrow(`instruction ${begin - 1}: what is left of the recording begins at ${begin}`)
    await debug.goto(now - 1)
    // Nobody has written the kernel's code since: it was there before what is left.
    expect(await debug.whoWrote(0x10_0000n, { physical: true })).toMatchObject({
      by: 'unknown',
      exit: { reason: 'begin' },
    })
    expect(await debug.whoWrote(BigInt(COUNT_ADDRESS), { physical: true })).toMatchObject({ by: 'instruction' })
    expect(await debug.step()).toEqual({ reason: 'step' })
    expect(registersOf(debug.pc)).toEqual(here)
    expect(recorder.instructions).toBe(now)
  }
  // From power-on, and three times later.
  expect(begins.length).toBeGreaterThan(3)
  expect(most).toBeLessThan(MOST_BYTES)

  const end: Uint8Array[] = []
  await recorder.copyEnd((bytes) => end.push(bytes))
  const file = new Uint8Array(Buffer.concat([...ring.parts, ...end]))
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = kept(await replayPc(options(), source))
  expect(replay.begin).toBe(recorder.begin)
  expect(replay.instructions).toBe(replay.begin)
  expect(await replay.run({ timeoutMs: 30_000 })).toEqual({ reason: 'end-of-recording' })
  expect(registersOf(replay.pc)).toEqual(registersOf(pc))
  expect(pollingResult(replay.pc)).toEqual(pollingResult(pc))
  await expect(replay.goto(replay.begin - 1)).rejects.toMatchObject({ code: 'ERR_OPTION' })
  await recorder.end()
})
