import { expect, test } from 'vitest'
import { listedRegisters, savedRegisters, shapeFault } from '../src/index.ts'

const POWER_ON = { control: 3, enabled: false, hiddenUntil: null as number | null }

test('registers of a saved state have the names of power-on, and no others', () => {
  const state = { version: 1, control: 7, enabled: true, hiddenUntil: 5, elsewhere: 'x' }
  expect(savedRegisters('timer', state, POWER_ON)).toEqual({ control: 7, enabled: true, hiddenUntil: 5 })
  expect(POWER_ON).toEqual({ control: 3, enabled: false, hiddenUntil: null })
})

test.each([
  [{ enabled: true }, 'timer: control of the saved state is missing: expected a number'],
  [{ control: 1, enabled: 1 }, 'timer: enabled of the saved state is a number: expected a boolean'],
  [{ control: 1, enabled: true, until: null }, 'timer: until of the saved state is null: expected an object'],
])('%j is refused', (state, message) => {
  const powerOn = { ...POWER_ON, ...('until' in state && { until: { lo: 0, hi: 0 } }) }
  const take = (): unknown => savedRegisters('timer', state as unknown as typeof powerOn, powerOn)
  expect(take).toThrow(expect.objectContaining({ code: 'ERR_STATE', message }))
})

test('registers of a list come in the order of power-on, and what it lacks is as then', () => {
  const powerOn = { control: 3, status: 1, count: 0 }
  expect(listedRegisters('timer', [7, 0], powerOn)).toEqual({ control: 7, status: 0, count: 0 })
  const registers = { ...powerOn, count: 6 }
  expect(listedRegisters('timer', Object.values(registers), powerOn)).toEqual(registers)
  expect(listedRegisters('timer', [], powerOn)).toEqual(powerOn)
  const message = 'timer: status of the saved state is null: expected a number'
  expect(() => listedRegisters('timer', [7, null as never], powerOn)).toThrow(
    expect.objectContaining({ code: 'ERR_STATE', message }),
  )
})

const OWN = { version: 1, lists: [{ lo: 0 }, { lo: 1 }], deadline: null, bytes: new Uint8Array(2) }

test.each([
  [OWN, undefined],
  [{ ...OWN, deadline: { lo: 1 }, more: 1 }, undefined],
  [{ ...OWN, version: 2 }, 'state is of version 2: expected 1'],
  [{ ...OWN, lists: [{ lo: 0 }] }, 'state.lists has 1 elements: expected 2'],
  [{ ...OWN, lists: [{ lo: 0 }, { lo: Number.NaN }] }, 'state.lists[1].lo is NaN: expected a number'],
  [{ ...OWN, lists: [{ lo: 0 }, null] }, 'state.lists[1] is null: expected an object'],
  [{ ...OWN, bytes: [0, 0] }, 'state.bytes is an array: expected a Uint8Array'],
  [{ ...OWN, deadline: 5 }, 'state.deadline is a number: expected null'],
])('%j has exactly the shape, or says where not', (given, expected) => {
  expect(shapeFault('state', given, OWN, true)).toBe(expected)
})

test.each([
  [{ ...OWN, version: 2, lists: [{ lo: 0 }], deadline: 5, bytes: null }, undefined],
  [{ ...OWN, lists: [{ lo: 0 }, {}] }, 'state.lists[1].lo is missing: expected a number'],
  [{ ...OWN, bytes: undefined }, 'state.bytes is missing: expected a Uint8Array'],
])('%j has a like shape, or says where not', (given, expected) => {
  expect(shapeFault('state', given, OWN)).toBe(expected)
})
