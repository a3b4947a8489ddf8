import { expect, test } from 'vitest'
import { savedRegisters } from '../src/index.ts'

const POWER_ON = { control: 3, enabled: false, hiddenUntil: null as number | null }

test('registers of a saved state have the names of power-on, and no others', () => {
  const state = { version: 1, control: 7, enabled: true, hiddenUntil: 5, elsewhere: 'x' }
  expect(savedRegisters('timer', state, POWER_ON)).toEqual({ control: 7, enabled: true, hiddenUntil: 5 })
  expect(POWER_ON).toEqual({ control: 3, enabled: false, hiddenUntil: null })
})

test.each([
  [{ enabled: true }, 'timer: control of the saved state is missing: expected a number'],
  [{ control: 1, enabled: 1 }, 'timer: enabled of the saved state is a number: expected a boolean'],
])('%j is refused', (state, message) => {
  const take = (): unknown => savedRegisters('timer', state as unknown as typeof POWER_ON, POWER_ON)
  expect(take).toThrow(expect.objectContaining({ code: 'ERR_STATE', message }))
})
