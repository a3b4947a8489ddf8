import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { registersSource } from '../build/registers.ts'
import * as assembler from '../src/index.ts'

test('a register that has a number in its name has that number', () => {
  const numbered: string[] = []
  for (const [key, value] of Object.entries(assembler)) {
    const number = /^(?:r|[xyz]?mm|k|cr|dr|bnd|st)(\d+)[bwd]?$/.exec(key)?.[1]
    if (number === undefined) continue
    const { type, name, number: own } = value as unknown as assembler.Register
    // ST0 is shown as st(0).
    expect([key, type, name.replace(/[()]/g, ''), own]).toEqual([key, 'register', key, Number(number)])
    numbered.push(key)
  }
  // R8 to R31 in four sizes, and 32 XMM, YMM and ZMM registers at the least.
  expect(numbered.length).toBeGreaterThan(4 * 24 + 3 * 32)
})

test('the constants are those of the table', () => {
  const file = new URL('../src/named-registers.ts', import.meta.url)
  expect(readFileSync(file, 'utf8'), 'run node --conditions=retrap-source build/registers.ts').toBe(registersSource())
})
