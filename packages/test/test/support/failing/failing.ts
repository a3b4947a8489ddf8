// Not a test of this package: machine-test.test.ts has vitest run it.
import { expect } from 'vitest'
import { machineTest } from '../../../src/vitest/index.ts'
import { countingFirmware } from '../counting-guest.ts'

const test = machineTest({
  pc: { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, firmware: countingFirmware(), vga: 'std' },
  ready: '> ',
  outputFolder: process.env['RETRAP_TEST_OUTPUT'],
})

test('passes', async ({ machine }) => {
  expect(await machine.command('one')).toBe('1\n')
})

test("fails (it's meant to)", async ({ machine }) => {
  expect(await machine.command('two')).toBe('2\n')
})

test('passes again', async ({ machine }) => {
  expect(await machine.command('three')).toBe('1\n')
})
