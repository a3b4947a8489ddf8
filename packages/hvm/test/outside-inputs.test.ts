import { expect, test } from 'vitest'
import type { OutsideInputs } from '../src/index.ts'
import { DeterministicSchedule } from '../src/scheduling/deterministic-schedule.ts'
import { HostPace } from '../src/scheduling/host-pace.ts'
import { RunState, type ScheduledDomain } from '../src/scheduling/run-state.ts'
import { TurnRunner } from '../src/scheduling/turn-runner.ts'

/** The schedule of a domain for which nobody waits. */
function scheduleOf(
  vcpus: readonly unknown[],
  timers: unknown,
  inputs: OutsideInputs | null,
  invalidations: object = {},
): { readonly schedule: DeterministicSchedule; readonly run: RunState; readonly turns: TurnRunner } {
  const domain = {
    vcpus,
    timers,
    clock: { deterministic: true, advance: () => undefined },
    dispatch: { requests: { has: () => false, unanswered: () => false } },
    invalidations: { flagged: () => false, waits: () => false, resume: () => true, ...invalidations },
    secondLevel: { waits: () => false },
    memoryChanges: { stopped: () => undefined },
    servers: [],
    devices: { settle: () => null },
    deviceDeadlineMs: Infinity,
  } as unknown as ScheduledDomain
  const sleeper = { sleep: () => Promise.resolve(), wake: () => undefined }
  const run = new RunState(sleeper)
  const turns = new TurnRunner(domain, run)
  turns.inputs = inputs
  const pace = new HostPace(domain.vcpus, sleeper)
  // The event loop has its turn some milliseconds after this look.
  pace.look(performance.now() * 1e6)
  return { schedule: new DeterministicSchedule(domain, run, turns, pace), run, turns }
}

/** Rounds without vCPUs, whose only timer fires once, and what their inputs were told. */
function roundsWithTimer(fires: number): { readonly rounds: DeterministicSchedule; readonly told: string[] } {
  const told: string[] = []
  let left = fires
  const inputs: OutsideInputs = {
    alone: false,
    begin: (moved) => {
      told.push(`begin ${moved}`)
      return null
    },
    idle: () => {
      told.push('idle')
      return Promise.resolve()
    },
    waits: () => undefined,
    budget: (most) => most,
  }
  const timers = { expire: () => left--, readNextDeadline: () => false }
  return { rounds: scheduleOf([], timers, inputs).schedule, told }
}

test('a round in which a timer has fired is counted before the domain waits for an input', () => {
  const { rounds, told } = roundsWithTimer(1)
  void rounds.advance()
  expect(told).toEqual(['begin false'])
  void rounds.advance()
  expect(told).toEqual(['begin false', 'begin true', 'idle'])
  void rounds.advance()
  expect(told).toEqual(['begin false', 'begin true', 'idle', 'begin false', 'idle'])
})

test('a round that was saved behind a timer is counted where it goes on', () => {
  const first = roundsWithTimer(1)
  void first.rounds.advance()
  const second = roundsWithTimer(0)
  second.rounds.restore(structuredClone(first.rounds.save()))
  void second.rounds.advance()
  expect(second.told).toEqual(['begin true', 'idle'])
})

test.each([
  { flagged: false, mayGoOn: false, executed: true },
  { flagged: false, mayGoOn: true, executed: true },
  { flagged: true, mayGoOn: true, executed: true },
  { flagged: true, mayGoOn: false, executed: false },
])('a vCPU with flagged $flagged that may go on $mayGoOn executes: $executed', ({ flagged, mayGoOn, executed }) => {
  const told: string[] = []
  const cpu = { cost: 0, retired: 0, busy: false, stop: () => undefined, run: (budget: number) => execute(budget) }
  const vcpu = { id: 3, cpu, dormant: false, turnEnded: () => undefined }
  const timers = { expire: () => 0, readNextDeadline: () => false }
  const { schedule, run, turns } = scheduleOf([vcpu], timers, null, {
    flagged: (id: number) => flagged && id === vcpu.id,
    resume: () => mayGoOn,
  })
  const execute = (budget: number): { readonly reason: string } => {
    cpu.cost += budget
    told.push('executes')
    run.stop({ reason: 'stopped' })
    return { reason: 'budget' }
  }
  turns.paravirtual = {
    mayRun: () => true,
    beforeTurn: () => undefined,
    afterTurn: (_, reason) => {
      told.push(`ends: ${reason}`)
      run.stop({ reason: 'stopped' })
    },
  }
  void schedule.advance()
  expect(told[0]).toBe(executed ? 'executes' : 'ends: blocked')
})
