import { test as base } from 'vitest'
import { BareCpu } from './bare-cpu.ts'

/** A test that asks for a bare processor: `pc` is in 64-bit mode. */
export const test = base
  .extend('pc', () => new BareCpu())
  .extend('protected32', () => new BareCpu({ mode: 'protected' }))
