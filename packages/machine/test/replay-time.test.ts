/** Times of the guest lead to the turns of vCPUs that they are in. */
import { DebugExit } from '@retrap/devices'
import { expect, test } from 'vitest'
import { type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { parseGuestTime } from '../src/debug.ts'
import { EXIT_PORT, idleFirmware, LAST } from './support/idle-guest.ts'
import { kept } from './support/kept.ts'
import { Pieces } from './support/pieces.ts'

const options = (jit: boolean): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  jit,
  clock: 'deterministic',
  firmware: idleFirmware(100),
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

/** When a turn begins, and after how many instructions. */
interface BegunTurn {
  readonly ns: number
  readonly instructions: number
}

/** Records a run, and notes each turn. */
async function record(checkpointMs: number, devices = options(false).devices) {
  const file = new Pieces()
  const recorder = await recordPc({ ...options(false), devices }, file.write, { checkpointMs })
  const { pc } = recorder
  kept(pc)
  const turns: BegunTurn[] = []
  const { domain } = pc
  domain.watchTurns({
    begin: () => {
      const ns = domain.clock.now()
      // A checkpoint may cut a turn in two.
      if (turns.at(-1)?.ns !== ns) turns.push({ ns, instructions: domain.instructions })
    },
    end: () => {},
  })
  let ticks = 30
  pc.serial.onTransmit(() => {
    if (ticks-- === 0) pc.serial.receive(Uint8Array.of(LAST))
  })
  return { file, turns, recorder }
}

test.each([{ checkpointMs: Infinity }, { checkpointMs: 1 }])(
  'a time leads to the beginning of its turn, forwards and backwards: %o',
  async ({ checkpointMs }) => {
    const { file, turns, recorder } = await record(checkpointMs)
    expect(await recorder.pc.run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
    await recorder.end()
    const replay = kept(await replayPc(options(true), file.source, { checkpointMs: Infinity }))
    expect(turns.length).toBeGreaterThan(40)
    const last = turns.length - 1
    for (const i of [last - 1, Math.floor(last / 2), 4]) {
      const { ns, instructions } = turns[i]!
      for (const asked of [ns, ns + 1]) {
        const exit = await replay.goto({ ns: asked })
        expect([exit.reason, replay.instructions, replay.ns]).toEqual(['arrived', instructions, ns])
      }
      const next = turns[i + 1]
      const asked = (next?.ns ?? NaN) - 1
      expect((await replay.goto({ ns: asked })).reason).toBe('arrived')
      // The guest may wait by then, behind the turn.
      expect([instructions, next?.instructions]).toContain(replay.instructions)
      expect([replay.ns >= ns && replay.ns <= asked, replay.ns, ns, asked]).toEqual([true, replay.ns, ns, asked])
    }
    await replay.goto({ ns: 1e15 })
    // A checkpoint may be within the last turn.
    expect(replay.instructions).toBeGreaterThanOrEqual(turns.at(-1)?.instructions ?? Infinity)
  },
)

test('while a machine is recorded, gdb’s monitor goes back to a time, and not to one that is to come', async () => {
  const { file, turns, recorder } = await record(Infinity, [])
  const stop = new AbortController()
  recorder.pc.serial.onTransmit(() => turns.length > 60 && stop.abort())
  expect(await recorder.pc.run({ signal: stop.signal, timeoutMs: 50_000 })).toEqual({ reason: 'stopped' })
  const target = await recorder.gdbTarget({ kill: () => {} }, { read: file.read })
  const before = recorder.pc.domain.clock.now()
  expect(await target.monitor(0, 'goto 1s')).toBe(
    `1000000000 ns: expected an earlier time than ${before} ns, where the machine is\n`,
  )
  const { ns, instructions } = turns[30]!
  const said = await target.monitor(0, `goto ${ns}ns`)
  expect(said).toContain(`instruction ${instructions} of ${recorder.instructions}, at ${ns} ns\n`)
})

test.each([
  ['1500ns', 1500],
  ['2.5ms', 2_500_000],
  ['0.3us', 300],
  ['12s', 12e9],
  ['1500', undefined],
  ['ns', undefined],
  ['-1ns', undefined],
  ['1e3ns', undefined],
  ['9007199254740993ns', undefined],
])('%s is %s ns', (text, ns) => expect(parseGuestTime(text)?.ns).toBe(ns))
