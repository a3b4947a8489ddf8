import type { JitOptions } from '../../src/index.ts'

/** All code is compiled that is executed twice, and anew where it misses the TLB twice. */
export const EAGER_JIT: JitOptions = { threshold: 1, fewestInstructions: 1, misses: 2 }

/** What tests of the interpreter run with: `RETRAP_TEST_JIT=1` has them compile all code. */
export const TEST_JIT: JitOptions | false = process.env['RETRAP_TEST_JIT'] === undefined ? false : EAGER_JIT
