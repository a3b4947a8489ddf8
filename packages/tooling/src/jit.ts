/** Whether tests run with compiled code: `RETRAP_TEST_JIT=1 npm test` has them compile whatever is executed twice. */

/** What of `JitOptions` of `@retrap/engine` tests set. */
export interface EagerJit {
  readonly threshold: number
  readonly fewestInstructions: number
  readonly misses: number
}

/**
 * All code is compiled that is executed twice, and anew where it misses the TLB twice.
 */
export const EAGER_JIT: EagerJit = { threshold: 1, fewestInstructions: 1, misses: 2 }

/** What tests of processors and machines run with. */
export const TEST_JIT: EagerJit | false = process.env['RETRAP_TEST_JIT'] === '1' ? EAGER_JIT : false
