import { expect, test as base } from 'vitest'
import { BareCpu, type GeneralRegister } from './bare-cpu.ts'

/** A test that asks for a bare processor: `pc` is in 64-bit mode. */
export const test = base
  .extend('pc', () => new BareCpu())
  .extend('protected32', () => new BareCpu({ mode: 'protected' }))

/** Runs to HLT, and compares registers. */
export function expectHalt(pc: BareCpu, registers: Partial<Record<GeneralRegister, bigint>>): void {
  expect(pc.run().reason).toBe('hlt')
  const names = Object.keys(registers) as GeneralRegister[]
  expect(Object.fromEntries(names.map((name) => [name, pc.register(name)]))).toEqual(registers)
}
