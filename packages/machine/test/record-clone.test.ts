/** Clones whose runs are recorded: each begins at the instant of the fork, and is run again from there. */
import { defineDevice } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { describe, expect, test } from 'vitest'
import * as machine from '../src/index.ts'
import { EXIT_PORT, LAST, echoFirmware } from './support/echo-guest.ts'
import { kept } from './support/kept.ts'

const exitDevice = (): machine.PcForkOptions => ({ devices: [new DebugExit({ iobase: EXIT_PORT })] })
const options = (): machine.PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  clock: 'deterministic',
  firmware: echoFirmware(),
  ...exitDevice(),
})
/** The host may be busy. */
const LIMIT = { timeoutMs: 100_000 }

/** A machine whose guest has echoed one byte, and stands still. */
async function booted(more: Partial<machine.PcOptions> = {}, make = machine.createPc): Promise<machine.Pc> {
  const pc = kept(await make({ ...options(), forks: { clones: 4, writtenBytes: 1 << 20 }, ...more }))
  const stop = new AbortController()
  let count = 0
  pc.serial.onTransmit((bytes) => {
    count += bytes.length
    if (count === 3) stop.abort()
  })
  pc.serial.receive(Buffer.from('0'))
  await pc.run({ ...LIMIT, signal: stop.signal })
  return pc
}

/** A recorded clone that was typed to until its end. */
async function recorded(
  pc: machine.Pc,
  typed: string,
  given?: machine.RecordPcOptions,
  changes: machine.PcForkOptions = exitDevice(),
): Promise<{ file: Uint8Array; text: string; recorder: machine.PcRecorder }> {
  const pieces: Uint8Array[] = []
  const recorder = await machine.recordClone(pc, (bytes) => pieces.push(bytes), given, changes)
  kept(recorder.pc)
  let text = ''
  const keys = [...typed, LAST]
  // The guest is interrupted by a byte that finds no other before it.
  const type = (): void => void recorder.pc.serial.receive(Buffer.from(keys.shift() ?? ''))
  recorder.pc.serial.onTransmit((bytes) => {
    text += Buffer.from(bytes).toString()
    if (text.length % 3 === 0) type()
  })
  type()
  expect(await recorder.pc.run(LIMIT)).toMatchObject({ reason: 'debug-exit', code: 1 })
  await recorder.end()
  return { file: new Uint8Array(Buffer.concat(pieces)), text, recorder }
}

/** What a recording puts out when it is run again. */
async function replayed(
  file: Uint8Array,
  more: Partial<machine.PcOptions>,
): Promise<{ text: string; instructions: number }> {
  let text = ''
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = await machine.replayPc({ ...options(), ...more }, source, {
    onMachine: (pc) => pc.serial.onTransmit((bytes) => (text += Buffer.from(bytes).toString())),
  })
  kept(replay)
  const exit = await replay.run(LIMIT)
  expect(['debug-exit', 'end-of-recording']).toContain(exit.reason)
  return { text, instructions: replay.instructions }
}

describe('a recorded clone', () => {
  test('is run again from a snapshot of the instant that it was forked at', async () => {
    const pc = await booted()
    const snapshot = await pc.save()
    for (const typed of ['ab', 'c']) {
      const { file, text, recorder } = await recorded(pc, typed, { checkpointMs: Infinity })
      // Five data bits a character, as after power-on.
      const echoed = [...Buffer.from(typed + LAST)].flatMap((byte) => [byte & 31, byte & 31, byte & 31])
      expect([...Buffer.from(text)]).toEqual(echoed)
      expect(await replayed(file, { snapshot })).toEqual({ text, instructions: recorder.instructions })
    }
  })

  test('without checkpoints has no debugger', async () => {
    const recorder = await machine.recordClone(await booted(), () => {}, { checkpointMs: Infinity }, exitDevice())
    kept(recorder.pc)
    await expect(recorder.debugger({ read: () => new Uint8Array() })).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: /checkpointMs Infinity/,
    })
  })

  test.each(['plain', 'recorded'])(
    'of a %s machine has the state of a recorded model, and is run again without it',
    async (run) => {
      const restored: unknown[] = []
      let attached = 0
      const counter = (count: number) =>
        defineDevice({
          name: 'counter',
          read: () => count,
          attach: () => void attached++,
          save: () => ({ count }),
          restore: (state) => void restored.push(state),
        })
      const model = (count: number): machine.PcForkOptions => ({
        devices: [new DebugExit({ iobase: EXIT_PORT }), counter(count)],
      })
      const first: Uint8Array[] = []
      let source: machine.PcRecorder | undefined
      const pc = await booted(model(7), async (given) => {
        if (run === 'plain') return machine.createPc(given)
        source = await machine.recordPc(given, (piece) => first.push(piece.slice()))
        return source.pc
      })
      const { file, text, recorder } = await recorded(pc, 'ab', {}, model(0))
      expect([attached, restored]).toEqual([2, [{ count: 7 }]])
      expect(await replayed(file, model(1))).toEqual({ text, instructions: recorder.instructions })
      expect([attached, restored.length]).toEqual([2, 1])
      // The run that it branches off goes on by itself.
      const exit = pc.run(LIMIT)
      pc.serial.receive(Buffer.from(LAST))
      expect(await exit).toMatchObject({ reason: 'debug-exit' })
      await source?.end()
      if (source)
        expect(await replayed(Buffer.concat(first), model(1))).toMatchObject({ instructions: source.instructions })
    },
  )
})
