/**
 * Guests that misuse the machine in every mode, with wrecked tables and every device of each board, which also comes and goes
 * while they run, through the command line: no uncaught error, no exit code but those of a guest's end, no device that fails, no growth of memory, no run that
 * outlives its `--timeout`.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { CPU_MODELS } from '@retrap/x86-cpu'
import { MachineError } from '@retrap/machine'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { createMachine } from '../../src/machine-main.ts'
import { ExitCode } from '../../src/exit-codes.ts'
import { hostileArm } from '../support/hostile-arm.ts'
import { hostileFirmware } from '../support/hostile-firmware.ts'
import { PLUGGED } from '../support/compose/acts.ts'
import { Disk } from '../support/compose/boards.ts'
import { BOARDS, DEVICES, type HostileMachine, hostileMachine } from '../support/hostile-machines.ts'
import { HostileRuns, type HostileRun } from '../support/hostile-runs.ts'

const GUEST_SECONDS = [0.05, 0.1, 0.2] as const
/** A Worker loads with processor time of its own, for which the machine waits. */
const WORKER_SECONDS = 3
/** So does a module of a user's own, and all that it imports: from sources, and on a host with many programs, 6 s were seen. */
const MODULE_SECONDS = 12
/** A guest that waits has more time by the clock. */
const WAIT_SECONDS = 1
/** By then a machine is made on the busiest of hosts. */
const TIMEOUT = '25'
/** The smallest case has room for all of it. */
const LISTING_CHARACTERS = 6000
const MEDIUM_BYTES = 1 << 20
/** Devices are plugged in within this time. */
const MOST_PLUG_MS = 100
/** What a guest can do with options that are right: it is never a mistake of the user's, nor an error of ours. */
const FAULTS_OF_OTHERS: ReadonlySet<number> = new Set([ExitCode.Usage, ExitCode.Input, ExitCode.GuestPanic])
const DEVICE_FAILED = /^retrap: device .* failed at .*$/m

let runs: HostileRuns | undefined
const seen = new Map<string, number>()

/** Draws the guest. @returns its part of the command line */
function guest(rng: Rng, machine: HostileMachine, { folder }: HostileRuns): string[] {
  const path = join(folder, 'guest')
  const save = (image: Uint8Array, listing: () => string): void => {
    writeFileSync(path, image)
    rng.note('listing', () => listing().slice(0, LISTING_CHARACTERS))
  }
  if (machine.board.arm) {
    const { image, listing } = hostileArm(rng, machine)
    save(image, listing)
    return [rng.pick(['--kernel', '--firmware']), path, '--memory', rng.pick(['16M', '64M'])]
  }
  const { image, mode, listing } = hostileFirmware(rng, machine)
  rng.note('mode', mode)
  save(image, listing)
  return ['--firmware', path, '--memory', rng.pick(['2M', '16M', '64M'])]
}

function wrongEnd({ code, errors, violation }: HostileRun): string | undefined {
  if (violation !== undefined) return violation
  if (FAULTS_OF_OTHERS.has(code)) return `ended with exit code ${code}, which is no guest's doing\n${errors}`
  return DEVICE_FAILED.exec(errors)?.[0]
}

/** Plugs devices into the root ports of a machine that runs, and takes them out. @returns makes the machine, and what was wrong */
function hotPlug(rng: Rng, { devices }: HostileMachine) {
  const ports = devices
    .filter(({ name }) => name.endsWith('root port'))
    .map(({ place: [slot] }) => `p${slot.toString(16)}`)
  const changes = ports.flatMap((port) =>
    Array.from({ length: rng.below(6) }, () => ({
      port,
      afterMs: rng.below(MOST_PLUG_MS),
      what: rng.pick([...Object.keys(PLUGGED), 'unplug', 'take out', 'take out']),
    })),
  )
  rng.note('hot plug', changes.map(({ afterMs, port, what }) => `${afterMs} ms: ${what} ${port}`).join(', '))
  let wrong: string | undefined
  const change = async (machine: Machine, { port, what }: (typeof changes)[number]): Promise<void> => {
    try {
      if (what in PLUGGED) await machine.plug?.(PLUGGED[what]!(port, new Disk()))
      else await machine.unplug?.(port, { force: what === 'take out', deadlineMs: MOST_PLUG_MS })
      const change = what in PLUGGED ? `plug ${what}` : what
      if (machine.plug !== undefined) seen.set(change, (seen.get(change) ?? 0) + 1)
    } catch (error) {
      if (!(error instanceof MachineError)) wrong ??= `${what} ${port}: ${String((error as Error).stack)}`
    }
  }
  return {
    wrong: () => wrong,
    create: async (asked: Parameters<typeof createMachine>[0]): Promise<Machine> => {
      const machine = await createMachine(asked)
      for (const each of changes) setTimeout(() => void change(machine, each), each.afterMs)
      return machine
    },
  }
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'hostile-guests',
  count: 10_000,
  async setup() {
    runs = new HostileRuns('hostile-guests')
    mkdirSync(join(runs.folder, 'share'))
    writeFileSync(join(runs.folder, 'share', 'file'), 'content')
    runs.file('medium', new Uint8Array(MEDIUM_BYTES))
    for (const { args } of BOARDS) await runs.warmUp(...args)
    for (const { name } of CPU_MODELS) await runs.warmUp('--cpu', name)
  },
  async step(rng) {
    if (runs === undefined) return 'not set up'
    const machine = hostileMachine(rng, join(runs.folder, 'medium'), join(runs.folder, 'share'))
    const guestSeconds = rng.pick(GUEST_SECONDS)
    const seconds =
      guestSeconds + WAIT_SECONDS + (machine.workers ? WORKER_SECONDS : 0) + (machine.modules ? MODULE_SECONDS : 0)
    rng.note('machine', machine.args.join(' '))
    for (const { name } of [machine.board, ...machine.devices]) seen.set(name, (seen.get(name) ?? 0) + 1)
    const args = ['run', ...guest(rng, machine, runs), ...machine.args, '--timeout', TIMEOUT]
    const { create, wrong } = hotPlug(rng, machine)
    return wrongEnd(await runs.run(args, seconds, { guestSeconds, createMachine: create })) ?? wrong()
  },
  async teardown() {
    await runs?.close()
  },
  unreached: () => {
    const names = [...BOARDS, ...DEVICES].map(({ name }) => name)
    const changes = [...Object.keys(PLUGGED).map((what) => `plug ${what}`), 'unplug', 'take out']
    return [...names, ...changes].filter((what) => !seen.has(what))
  },
  summary: () => [...seen].map(([name, count]) => `${name}: ${count}`).join(', '),
}
