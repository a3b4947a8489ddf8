/** Debuggers of recordings change nothing of what is executed: a guest waits by HLT or MWAIT, and bytes are typed to it. */
import { DebugExit } from '@retrap/devices'
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { type Pc, type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { EXIT_PORT, idleFirmware, KEY_HANDLER, LAST, TICKS } from './support/idle-guest.ts'
import { kept } from './support/kept.ts'
import { medium } from './support/media.ts'
import { Pieces } from './support/pieces.ts'
import { pollingKernel } from './support/polling-guest.ts'

const firmware = idleFirmware(1000)

const options = (jit: boolean): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  jit,
  clock: 'deterministic',
  firmware,
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

/** Numbers that follow from a seed: a linear congruential generator. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const resultOf = (pc: Pc): Uint8Array => {
  const bytes = new Uint8Array(0x200)
  pc.domain.guestMemory.read(TICKS, bytes)
  return bytes
}

/** Records a run to which bytes are typed after ticks that a seed chooses. */
async function record(seed: number, ticks: number, checkpointMs = Infinity) {
  const file = new Pieces()
  const random = randomOf(seed)
  const recorder = await recordPc(options(seed % 2 === 0), file.write, { checkpointMs })
  const { pc } = recorder
  kept(pc)
  let left = ticks
  pc.serial.onTransmit(() => {
    if (left-- === 0) pc.serial.receive(Uint8Array.of(LAST))
    else if (left > 0 && random(2) === 0) pc.serial.receive(Uint8Array.of(random(64)))
  })
  expect(await pc.run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  return { source: file.source, result: resultOf(pc), instructions: recorder.instructions }
}

test.each(sliced([1, 2, 3, 4], 4))('seed %i: backwards it comes to where it has been forwards', async (seed) => {
  const { source, result, instructions } = await record(seed, 6)
  const replay = kept(await replayPc(options(seed % 2 === 1), source, { checkpointMs: 5 }))
  const forwards: number[] = []
  const looking = await replay.pc.debugger()
  looking.breakpoint(BigInt(KEY_HANDLER), () => void forwards.push(replay.instructions))
  expect(await replay.run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
  expect([replay.instructions, resultOf(replay.pc)]).toEqual([instructions, result])
  const debug = await replay.debugger()
  debug.breakpoint(BigInt(KEY_HANDLER))
  for (const there of forwards.toReversed()) {
    expect(await debug.reverseContinue()).toMatchObject({ reason: 'breakpoint' })
    expect(debug.instructions).toBe(there)
  }
  expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
})

test.each(sliced([5, 6, 7, 8], 4))('seed %i: output is heard once, where it goes on over it', async (seed) => {
  const { source, instructions: end } = await record(seed, 6, 2)
  /** Numbers of the bytes that were heard. */
  const heard = new Set<number>()
  const onMachine = ({ serial }: Pc): void =>
    serial.onTransmit((bytes) => {
      const sent = serial.sent!
      for (let number = sent - bytes.length; number < sent; number++) {
        expect(heard.has(number), `byte ${number}`).toBe(false)
        heard.add(number)
      }
    })
  const random = randomOf(seed)
  const replay = kept(await replayPc(options(seed % 2 === 1), source, { checkpointMs: 2, onMachine, at: 'end' }))
  const debug = await replay.debugger()
  debug.breakpoint(BigInt(KEY_HANDLER))
  const back = [
    () => debug.reverseContinue(),
    () => debug.stepBack(),
    () => debug.goto(random(replay.instructions + 1)),
    () => replay.goto({ ns: random(replay.ns) }),
    () => debug.whoWrote(BigInt(TICKS)),
  ]
  const forwards = [
    () => debug.continue(),
    () => debug.continue({ to: replay.instructions + random(5000) }),
    () => debug.step(),
    () => replay.goto(replay.instructions + random(end - replay.instructions)),
    () => replay.run(),
  ]
  for (let steps = 0; steps < 25; steps++) {
    const [isBack, before, sent] = [random(2) === 0, new Set(heard), replay.pc.serial.sent!]
    await (isBack ? back : forwards)[random(5)]!()
    if (isBack) expect(heard).toEqual(before)
    else for (let number = sent; number < replay.pc.serial.sent!; number++) expect(heard).toContain(number)
  }
  expect(heard.size).toBeGreaterThan(4)
})

test('a recording that ended while a disk was read is searched without a wait for the answer', async () => {
  const never = new Promise<void>(() => {})
  const polling = (): PcOptions => ({
    ...options(false),
    firmware: undefined,
    kernel: pollingKernel(1),
    drives: [{ medium: medium(new Uint8Array(1 << 16), () => never) }],
  })
  const file = new Pieces()
  const recorder = await recordPc(polling(), file.write, { checkpointMs: Infinity })
  kept(recorder.pc)
  expect(await recorder.pc.run({ timeoutMs: 20 })).toEqual({ reason: 'timeout' })
  await recorder.end()
  const replay = kept(await replayPc(polling(), file.source, { at: 'end' }))
  // The deadline of devices is 30 seconds.
  expect(await (await replay.debugger()).reverseContinue({ timeoutMs: 4000 })).toEqual({ reason: 'begin' })
})
