/**
 * A gigabit network card with Intel's 82540EM.
 *
 * @packageDocumentation
 */

export { E1000 } from './e1000.ts'
export type { E1000Options } from './e1000-options.ts'
