/** Whether tests run with compiled code: `RETRAP_TEST_JIT=1 npm test` has them compile all code that is executed twice. */

/** The members of `JitOptions` of `@retrap/engine` that tests set. */
export interface EagerJit {
  readonly threshold: number
  readonly fewestInstructions: number
  readonly misses: number
}

/** Compiles all code at its second execution, and again after two TLB misses. */
export const EAGER_JIT: EagerJit = {
  threshold: 1,
  fewestInstructions: 1,
  misses: 2,
}

/** The JIT options of tests of processors and machines. */
export const TEST_JIT: EagerJit | false = process.env['RETRAP_TEST_JIT'] === '1' ? EAGER_JIT : false
