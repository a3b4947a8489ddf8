// How a machine stands when something is done to it: one more axis of a case.
import { setImmediate as turn } from 'node:timers/promises'
import { ACPI_PM } from '@retrap/devices'
import { createIoRequest } from '@retrap/ioreq'
import type { MachineVerb } from '@retrap/machine'
import type { Rng } from '@retrap/tooling/soak'
import type { Subject } from './machines.ts'

/**
 * `waiting`: stopped, with an instruction that waits for a device, if one does. The guest has ended a machine that is `ended`; the user
 * has paused one that is `paused`, and what goes on from it stands still until its user lets it go on.
 */
export const STATES = ['not run', 'stopped', 'waiting', 'running', 'debugged', 'paused', 'asleep', 'ended'] as const
/** One of {@link STATES}. */
export type State = (typeof STATES)[number]

/** Something that the guest notices, at an instant. */
export interface Act {
  readonly at: number
  readonly name: string
  readonly act: (subject: Subject) => void | Promise<void>
}

/** Something that a guest must not notice, at an instant. */
export interface Disturbance {
  readonly at: number
  readonly verb: MachineVerb
  readonly name: string
  /** How its machine stands then. Default: it was stopped between two rounds. */
  readonly state?: State
  /** Whether it can be done while the machine runs, too, or is only done then. */
  readonly whileRunning?: 'too' | 'only'
  /**
   * @param next - the instant of what comes next
   * @returns the machines that go on; the first of them is followed further
   */
  readonly disturb: (subject: Subject, next: number) => Promise<readonly Subject[]>
}

/** A machine that is asleep is woken after so many nanoseconds. */
const ASLEEP_NS = 5000
const DEADLINE_MS = 60_000
const IOREQ_TYPE_PIO = 0
const SLEEP = 0x2000 | (ACPI_PM.s3SleepType << 10)

/** Whether a board can be in a state: those of Xen's guests and of Arm do not sleep. */
export function hasState(state: State, isArm: boolean, isXen: boolean): boolean {
  return state !== 'asleep' || (!isArm && !isXen)
}

/** What the machine's owner does so that it is in a state at an instant, whether it is disturbed then or not. */
export function actsFor(state: State, at: number): Act[] {
  if (state === 'ended') return [{ at, name: 'the end', act: (subject) => subject.end() }]
  if (state !== 'asleep') return []
  return [
    { at, name: 'sleep', act: fallAsleep },
    { at: at + ASLEEP_NS, name: 'power button', act: async ({ machine }) => void (await machine.powerButton()) },
  ]
}

/** Writes what a guest writes to sleep in S3, between two instructions; the machine is asleep when it runs on. */
async function fallAsleep(subject: Subject): Promise<void> {
  await subject.machine.domain.settle(DEADLINE_MS)
  const request = createIoRequest()
  request.type = IOREQ_TYPE_PIO
  request.addressLo = ACPI_PM.base + ACPI_PM.controlOffset
  request.size = 2
  request.dataLo = SLEEP
  await subject.machine.domain.access(request)
  await subject.runUntil(subject.now + 1)
}

/** Has a disturbance find its machine in a state. */
export function inState(rng: Rng, state: State, one: Disturbance): Disturbance {
  const count = rng.between(1, 40)
  const turns = rng.below(30)
  const name = `${state}: ${one.name}`
  const named = { ...one, name, state }
  if (state === 'waiting')
    return {
      ...named,
      name: `${name} (${count})`,
      disturb: async (subject, next) => {
        await subject.runUntilWaiting(count, next)
        return subject.exit === undefined ? one.disturb(subject, next) : [subject]
      },
    }
  if (state === 'paused')
    return {
      ...named,
      disturb: async (subject, next) => {
        subject.isPaused = true
        const all = await one.disturb(subject, next)
        if (all.some(({ isPaused }) => !isPaused))
          throw new Error(`${name}: a machine runs, though its user has paused it`)
        for (const each of all) each.isPaused = false
        return all
      },
    }
  if (state === 'running' || state === 'debugged')
    return {
      ...named,
      name: `${name}, ${turns} turns on`,
      disturb: (subject, next) => meanwhile(subject, next, turns, state === 'debugged', one),
    }
  return named
}

/** Disturbs a machine that runs to an instant, or that a debugger holds on the way there. */
async function meanwhile(
  subject: Subject,
  next: number,
  turns: number,
  isHeld: boolean,
  one: Disturbance,
): Promise<readonly Subject[]> {
  const debug = isHeld ? await subject.machine.debugger() : undefined
  const running = subject.runUntil(next)
  for (let i = 0; i < turns; i++) await turn()
  await debug?.stop().catch(() => undefined)
  const [done] = await Promise.allSettled([one.disturb(subject, next).finally(() => debug?.resume()), running])
  if (done.status === 'fulfilled') return done.value
  // Its guest may have ended it before.
  if (subject.exit === undefined || (done.reason as { code?: unknown }).code !== 'ERR_STATE') throw done.reason
  return [subject]
}
