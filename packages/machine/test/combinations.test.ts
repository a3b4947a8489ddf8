/** The table of combinations: what it refuses, machines refuse in its words, and what it supports, they do. */
import { TEST_LONG } from '@retrap/tooling/long'
import { words } from '@retrap/tooling/random'
import { sliced, slicedCount, slicedSeed, SLICE_REPEAT } from '@retrap/tooling/slice'
import { afterEach, expect, test } from 'vitest'
import { createArmMachine, recordArmMachine, replayArmMachine } from '../src/arm/index.ts'
import {
  createPc,
  type MachineRun,
  type MachineVerb,
  type PcRecorder,
  recordPc,
  REFUSALS,
  replayPc,
} from '../src/index.ts'
import * as C from './support/combinations.ts'
import { composedOptions, ofClone, pluggable } from './support/composed.ts'

const closing: { close(): void }[] = []
afterEach(() => closing.splice(0).forEach((one) => one.close()))

const CELLS = [...C.combinations()]

test('each refusal is of some combination', () => {
  const unused = new Set(REFUSALS.map(({ why }) => why))
  for (const { refused = '' } of CELLS) for (const why of unused) if (refused.endsWith(why)) unused.delete(why)
  expect([...unused]).toEqual([])
})

/** A PC or an Arm board, as far as both are alike. */
type Made = Awaited<ReturnType<typeof createPc>>
type Options = ReturnType<typeof composedOptions>

const isArm = ({ board }: C.CombinedMachine): boolean => board === 'virt'

async function make(machine: C.CombinedMachine, options: Options): Promise<Made> {
  const made = (await (isArm(machine) ? createArmMachine(options as never) : createPc(options))) as Made
  closing.push(made)
  return made
}

/** A recording that can be run again. */
class Recorded {
  readonly #pieces: Uint8Array[] = []
  recorder!: Pick<PcRecorder, 'debugger' | 'end' | 'gdbTarget' | 'instructions'>
  made!: Made

  async record(machine: C.CombinedMachine, options: Options): Promise<void> {
    const write = (piece: Uint8Array): void => void this.#pieces.push(piece.slice())
    const recorder = await (isArm(machine) ? recordArmMachine(options as never, write) : recordPc(options, write))
    this.recorder = recorder as unknown as PcRecorder
    this.made = recorder.machine as unknown as Made
    closing.push(this.made)
  }

  readonly read = (at: number, bytes: number): Uint8Array =>
    new Uint8Array(Buffer.concat(this.#pieces)).subarray(at, at + bytes)

  async replay(machine: C.CombinedMachine, options: Options) {
    const source = { bytes: Buffer.concat(this.#pieces).length, read: this.read }
    const replay = await (isArm(machine) ? replayArmMachine(options as never, source) : replayPc(options, source))
    closing.push(replay)
    return replay
  }
}

const gdb = { kill() {} }

/** Does something with a machine. */
async function act(verb: MachineVerb, machine: C.CombinedMachine, made: Made, options: Options): Promise<void> {
  switch (verb) {
    case 'save': {
      const snapshot = await made.save()
      const { unknown } = snapshot.state.domain.devices
      const goesOn = make(machine, { ...options, snapshot }).then((on) => on.run({ timeoutMs: 1 }))
      return void (await (unknown ? expect(goesOn).rejects.toThrow('saved in a replay') : goesOn))
    }
    case 'restore': {
      // A machine that cannot be saved can go back to what another one has saved.
      const snapshot = await (await make(machine, options)).save()
      return made.restore(snapshot)
    }
    case 'checkpoint': {
      const checkpoint = await made.checkpoint()
      await made.run({ timeoutMs: 1 })
      await checkpoint.reset()
      return checkpoint.close()
    }
    case 'fork': {
      const clone = await made.fork(ofClone(machine))
      closing.push(clone)
      return void (await clone.run({ timeoutMs: 1 }))
    }
    case 'gdb':
      return void (await made.gdbTarget(gdb))
    default:
      throw new Error(verb)
  }
}

/** The error's text; undefined where there was none. */
const said = async (action: () => Promise<unknown>): Promise<string | undefined> =>
  action().then(
    () => undefined,
    (error: unknown) => (error as Error).message ?? String(error),
  )

/** How a combination went, and how the table says that it goes. */
type Outcome = readonly [what: string, went: string | undefined]

/**
 * Tries all that is done with a machine of the table.
 *
 * @param plugged - the device that is plugged into it
 * @param only - of all that, one verb of one run, and what leads there
 * @returns how it went, and what the table says
 */
async function tryAll(
  machine: C.CombinedMachine,
  plugged: C.CombinedDevice,
  only?: { readonly verb: MachineVerb; readonly run: MachineRun },
): Promise<{ readonly went: Outcome[]; readonly expected: Outcome[] }> {
  const went: Outcome[] = []
  const expected: Outcome[] = []
  const check = async (verb: MachineVerb, run: MachineRun, action: () => Promise<unknown>): Promise<boolean> => {
    const leads = verb === 'make' || (only?.run !== 'plain' && (verb === 'record' || verb === 'replay'))
    if (only !== undefined && verb !== only.verb && !leads) return false
    const { refused } = C.combinationOf(machine, verb, run, verb === 'plug' ? plugged : undefined)
    const name = `${Object.values(machine).join(' ')}: ${verb} ${verb === 'plug' ? plugged : ''} ${run}`
    expected.push([name, refused])
    went.push([name, await said(action)])
    return refused === undefined
  }
  const forks = { clones: 2, writtenBytes: 1 << 20 }
  const options = (): Options => composedOptions(machine, { forks })
  let made: Made | undefined
  const isMade = await check('make', 'plain', async () => {
    made = await make(machine, options())
    await made.run({ timeoutMs: 1 })
  })
  if (isMade)
    for (const verb of ['save', 'checkpoint', 'gdb', 'restore', 'fork'] as const)
      await check(verb, 'plain', () => act(verb, machine, made!, options()))
  const withPort = (): Options => ({ ...options(), rootPorts: [...(options().rootPorts ?? []), { id: 'free' }] })
  await check('plug', 'plain', async () => (await make(machine, withPort())).plug(pluggable(plugged, 'free')))
  const recorded = new Recorded()
  const isRecorded = await check('record', 'recorded', async () => {
    await recorded.record(machine, options())
    await recorded.made.run({ timeoutMs: 1 })
  })
  if (isMade && C.combinationOf(machine, 'save', 'plain').refused === undefined)
    await check('record-on', 'recorded', async () => {
      const snapshot = await made!.save()
      const on = new Recorded()
      await on.record(machine, { ...options(), snapshot })
      await on.made.run({ timeoutMs: 1 })
      await on.recorder.end()
      const replay = await on.replay(machine, options())
      expect(await replay.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'end-of-recording' })
    })
  if (!isRecorded) return { went, expected }
  await check('plug', 'recorded', async () => {
    const there = new Recorded()
    await there.record(machine, withPort())
    const stop = new AbortController()
    const running = there.made.run({ signal: stop.signal })
    await there.made.plug(pluggable(plugged, 'free')).finally(() => stop.abort())
    await running
    await there.recorder.end()
    const replay = await there.replay(machine, withPort())
    expect(await replay.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'end-of-recording' })
    expect((replay.pc as Made).domain.devices.isOccupied('free')).toBe(true)
  })
  const ofRun = ['save', 'checkpoint', 'fork', ...(isArm(machine) ? (['gdb'] as const) : [])] as const
  for (const verb of ofRun) await check(verb, 'recorded', () => act(verb, machine, recorded.made, options()))
  if (isMade)
    await check('restore', 'recorded', async () => recorded.made.restore(await (await make(machine, options())).save()))
  await check('reverse', 'recorded', async () => {
    const debug = await recorded.recorder.debugger({ read: recorded.read })
    await debug.goto(Math.max(0, debug.instructions - 5))
    await debug.goto(recorded.recorder.instructions)
  })
  await recorded.recorder.end()
  await check('replay', 'replayed', async () => {
    const replay = await recorded.replay(machine, options())
    expect(await replay.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'end-of-recording' })
    const there = replay.pc as Made
    for (const verb of ofRun) await check(verb, 'replayed', () => act(verb, machine, there, options()))
    await check('plug', 'replayed', () => there.plug(pluggable(plugged, 'free')))
    await check('reverse', 'replayed', async () => (await replay.debugger()).goto(Math.max(0, replay.end - 5)))
  })
  return { went, expected }
}

/** Placements without a thread of their own, which takes a second to start. */
const IN_THREAD = ['inline', 'deferred', 'process', 'remote']
const isTaken = ({ placement }: C.CombinedMachine): boolean => TEST_LONG || IN_THREAD.includes(placement)

/** Supported combinations that can be tried. */
const SUPPORTED = CELLS.filter((cell) => cell.refused === undefined && isTaken(cell))

async function agree(...how: Parameters<typeof tryAll>): Promise<void> {
  const { went, expected } = await tryAll(...how)
  expect(went.toSorted()).toEqual(expected.toSorted())
  closing.splice(0).forEach((one) => one.close())
}

test(
  `machines do what the table supports, and refuse the rest in its words (${SLICE_REPEAT})`,
  { timeout: 600_000 },
  async () => {
    const all = [...C.combinedMachines()].filter(isTaken)
    const next = words(slicedSeed(0x7ab1e))
    for (let i = slicedCount(300, 100); i > 0; i--)
      await agree(all[next() % all.length]!, C.PLUGGED[next() % C.PLUGGED.length]!)
  },
)

const OF_MACHINES = REFUSALS.filter(({ plugged }) => plugged === undefined)
const OF_PLUGGED = REFUSALS.filter(({ plugged }) => plugged !== undefined)

test.each([...OF_PLUGGED, ...sliced(OF_MACHINES, 5)])(
  `machines do what misses one condition of a refusal: $verbs, $why (${SLICE_REPEAT})`,
  { timeout: 600_000 },
  async (rule) => {
    const next = words(slicedSeed(0x7ab1e))
    for (const missed of C.nearMisses(rule, SUPPORTED)) {
      const { verb, run, refused: _, plugged = 'rng', ...machine } = missed[next() % missed.length]!
      await agree(machine, plugged, { verb, run })
    }
  },
)
