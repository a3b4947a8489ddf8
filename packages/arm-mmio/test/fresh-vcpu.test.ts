import { expect, test } from 'vitest'
import { createArmVcpu } from '../src/index.ts'

test('a fresh vCPU is zero but for its number, in AArch64, and shares nothing with another', () => {
  const [one, other] = [createArmVcpu(3), createArmVcpu()]
  const { id, x, sp, v, pc, spsr, pstate, system, exception } = one
  expect([id, other.id, system.aarch64]).toEqual([3, 0, true])
  const { aarch64: _, ...registers } = system
  const values = [...x, ...sp, ...v, ...pc, ...spsr, pstate, ...Object.values(registers), ...Object.values(exception)]
  expect(values).toEqual(values.map(() => 0))
  expect([x.length, sp.length, v.length, pc.length, spsr.length]).toEqual([62, 4, 128, 2, 5])
  x[0] = 1
  Object.assign(system, { sctlr: 1 })
  exception.ifar = 1
  expect([other.x[0], other.system.sctlr, other.exception.ifar]).toEqual([0, 0, 0])
})
