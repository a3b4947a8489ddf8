/** Whether tests run with compiled code: `RETRAP_TEST_JIT=1 npm test` has them compile whatever is executed twice. */

/**
 * All code is compiled that is executed twice, and anew where it misses the TLB twice: `JitOptions` of `@retrap/engine`.
 */
export const EAGER_JIT = { threshold: 1, fewestInstructions: 1, misses: 2 } as const

/** What tests of processors and machines run with. */
export const TEST_JIT: typeof EAGER_JIT | false = process.env['RETRAP_TEST_JIT'] === '1' ? EAGER_JIT : false
