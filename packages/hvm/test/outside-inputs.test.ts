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
