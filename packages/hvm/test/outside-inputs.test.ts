import { afterEach, beforeEach, expect, test, vi } from 'vitest'
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
  clock: object = {},
  slept: number[] = [],
): { readonly schedule: DeterministicSchedule; readonly run: RunState; readonly turns: TurnRunner } {
  const domain = {
    vcpus,
    timers,
    clock: { deterministic: true, advance: () => undefined, ...clock },
    dispatch: { requests: { has: () => false, unanswered: () => false } },
    invalidations: { flagged: () => false, waits: () => false, resume: () => true, ...invalidations },
    secondLevel: { waits: () => false },
    memoryChanges: { stopped: () => undefined },
    servers: [],
    devices: { settle: () => null },
    deviceDeadlineMs: Infinity,
  } as unknown as ScheduledDomain
  const sleeper = {
    sleep(ms: number) {
      slept.push(ms)
      return Promise.resolve()
    },
    wake: () => undefined,
  }
  const run = new RunState(sleeper)
  const turns = new TurnRunner(domain, run)
  turns.inputs = inputs
  const pace = new HostPace(domain.vcpus, sleeper)
  // The event loop has its turn some milliseconds after this look.
  pace.look(performance.now() * 1e6)
  return { schedule: new DeterministicSchedule(domain, run, turns, pace), run, turns }
}

// The event loop is not due, however long a host stands still within a test.
beforeEach(() => void vi.spyOn(performance, 'now').mockReturnValue(1000))
afterEach(() => vi.restoreAllMocks())

/** Rounds without vCPUs, whose only timer fires once, and what their inputs were told. */
function roundsWithTimer(
  fires: number,
  losesResets = false,
): { readonly rounds: DeterministicSchedule; readonly told: string[] } {
  const told: string[] = []
  let left = fires
  const inputs: OutsideInputs = {
    alone: false,
    losesResets,
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

test.each([false, true])(
  'a round that a reset has ended is counted, but not in recordings of earlier releases: %s',
  (old) => {
    const { rounds, told } = roundsWithTimer(1, old)
    void rounds.advance()
    rounds.reset()
    void rounds.advance()
    expect(told).toEqual(['begin false', `begin ${!old}`, 'idle'])
  },
)

test('time goes on to a timer at once, or when the host says that it is no longer early', async () => {
  const times: number[] = []
  const begun: boolean[] = []
  const inputs: OutsideInputs = {
    alone: false,
    begin: (moved) => {
      begun.push(moved)
      return null
    },
    idle: () => null,
    early: ({ lo }) => (times.length > 0 ? 0 : (times.push(lo), 20)),
    waits: () => undefined,
    budget: (most) => most,
  }
  const slept: number[] = []
  const skipped: number[] = []
  const timers = {
    expire: () => 0,
    readNextDeadline(into: { lo: number }) {
      into.lo = 7
      return skipped.length < 2
    },
  }
  const clock = { skipTo: ({ lo }: { lo: number }) => skipped.push(lo) }
  const { schedule } = scheduleOf([], timers, inputs, {}, clock, slept)
  await schedule.advance()
  expect({ times, slept, skipped, begun }).toEqual({ times: [7], slept: [20], skipped: [], begun: [false] })
  await schedule.advance()
  // The wait was no event of the guest's; the two timers were.
  expect({ slept, skipped, begun }).toEqual({
    slept: [20, Infinity],
    skipped: [7, 7],
    begun: [false, false, true, true],
  })
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

test.each([
  { given: 'where the turn may end', turnMayEnd: true, after: ['run 0', 'round'] },
  { given: 'where it may not', turnMayEnd: false, after: ['step', 'round'] },
])('a vCPU that a debugger stops when its turn is used up goes on with it: $given', ({ turnMayEnd, after }) => {
  const told: string[] = []
  const inputs = {
    alone: false,
    begin: () => (told.push('round'), null),
    idle: () => null,
    waits: () => undefined,
    // The last instructions before a limit are executed one by one.
    budget: (most: number) => {
      inputs.alone = most <= 0
      return inputs.alone ? 1 : most
    },
  }
  const exits = ['debug', 'budget']
  const ended = (cost: number, what: string) => {
    told.push(what)
    cpu.cost += cost
    const reason = exits.shift()
    if (reason === undefined) run.stop({ reason: 'stopped' })
    else if (reason === 'budget') cpu.turnMayEnd = true
    return { reason: reason ?? 'budget' }
  }
  const cpu = {
    ...{ cost: 0, retired: 0, busy: false, turnMayEnd, stop: () => undefined },
    run: (budget: number) => ended(Math.max(0, budget), `run ${budget}`),
    step: () => ended(1, 'step'),
  }
  const vcpu = { id: 0, cpu, dormant: false, turnEnded: () => undefined }
  const timers = { expire: () => 0, readNextDeadline: () => false }
  const { schedule, run } = scheduleOf([vcpu], timers, inputs)
  expect(schedule.advance()).toBe(null)
  expect(told).toEqual(['round', 'run 10000'])
  run.exit = null
  void schedule.advance()
  expect(told.slice(2, 4)).toEqual(after)
})

test.each([
  { given: 'where the turn may end', turnMayEnd: true, after: ['run 10000', 'round'] },
  { given: 'where it may not', turnMayEnd: false, after: ['run 10000', 'run -5', 'round'] },
])('a vCPU that stops for a model when its turn is used up goes on with it: $given', ({ turnMayEnd, after }) => {
  const told: string[] = []
  const inputs = { alone: false, begin: () => (told.push('round'), null), idle: () => null, waits: () => undefined }
  const cpu = {
    ...{ cost: 0, retired: 0, busy: false, turnMayEnd, stop: () => undefined },
    run(budget: number) {
      if (told.length > 3) run.stop({ reason: 'stopped' })
      cpu.cost += Math.max(1, budget + 5)
      cpu.turnMayEnd = told.length > 1 || turnMayEnd
      run.interrupted = told.push(`run ${budget}`) === 2
      return { reason: 'budget' }
    },
  }
  const vcpu = { id: 0, cpu, dormant: false, turnEnded: () => undefined }
  const timers = { expire: () => 0, readNextDeadline: () => false }
  const { schedule, run } = scheduleOf([vcpu], timers, { ...inputs, budget: (most) => most })
  void schedule.advance()
  expect(told.slice(1, 1 + after.length)).toEqual(after)
})
