import { test as base } from 'vitest'
import { Bench } from './bench.ts'

/** A test that asks for a machine in a mode: `protected32` and `long64` at CPL 0, the others at CPL 3. */
export const test = base
  .extend('protected32', () => Bench.protected32())
  .extend('user32', () => Bench.protected32(3))
  .extend('long64', () => Bench.long64())
  .extend('user64', () => Bench.long64(3))
