import { expect, test } from 'vitest'
import type { OutsideInputs } from '../src/index.ts'
import { type RoundsHost, VirtualRounds } from '../src/virtual-rounds.ts'

/** Rounds without vCPUs, whose only timer fires once, and what their inputs were told. */
function roundsWithTimer(fires: number): { readonly rounds: VirtualRounds; readonly told: string[] } {
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
  const host = {
    vcpus: [],
    timers: { expire: () => left--, readNextDeadline: () => false },
    inputs: () => inputs,
    ended: () => false,
    settle: () => null,
    waitsForHost: () => false,
    pauses: () => false,
    visitDue: () => false,
    sleep: () => Promise.resolve(),
  }
  return { rounds: new VirtualRounds(host as unknown as RoundsHost), told }
}

test('a round in which a timer has fired is counted before the domain waits for an input', () => {
  const { rounds, told } = roundsWithTimer(1)
  void rounds.run()
  expect(told).toEqual(['begin false'])
  void rounds.run()
  expect(told).toEqual(['begin false', 'begin true', 'idle'])
  void rounds.run()
  expect(told).toEqual(['begin false', 'begin true', 'idle', 'begin false', 'idle'])
})

test('a round that was saved behind a timer is counted where it goes on', () => {
  const first = roundsWithTimer(1)
  void first.rounds.run()
  const second = roundsWithTimer(0)
  second.rounds.restore(structuredClone(first.rounds.save()))
  void second.rounds.run()
  expect(second.told).toEqual(['begin true', 'idle'])
})

test.each([
  { flagged: false, mayGoOn: false, executed: true },
  { flagged: false, mayGoOn: true, executed: true },
  { flagged: true, mayGoOn: true, executed: true },
  { flagged: true, mayGoOn: false, executed: false },
])('a vCPU with flagged $flagged that may go on $mayGoOn executes: $executed', ({ flagged, mayGoOn, executed }) => {
  const told: string[] = []
  const vcpu = { id: 3, cpu: { cost: 0 } }
  const host = {
    vcpus: [vcpu],
    timers: { expire: () => 0, readNextDeadline: () => false },
    clock: { advance: () => undefined },
    inputs: () => null,
    ended: () => told.length > 0,
    settle: () => null,
    waitsForHost: () => false,
    pauses: () => false,
    visitDue: () => false,
    sleep: () => Promise.resolve(),
    flagged: (id: number) => flagged && id === vcpu.id,
    mayGoOn: () => mayGoOn,
    holds: () => false,
    mayRun: () => true,
    beginTurn: () => undefined,
    waitsForMemory: () => false,
    interrupted: () => false,
    handle: () => undefined,
    execute: (_: unknown, budget: number) => {
      vcpu.cpu.cost += budget
      told.push('executes')
      return { reason: 'budget' }
    },
    endTurn: (_: unknown, reason: string) => void told.push(`ends: ${reason}`),
  }
  void new VirtualRounds(host as unknown as RoundsHost).run()
  expect(told[0]).toBe(executed ? 'executes' : 'ends: blocked')
})
