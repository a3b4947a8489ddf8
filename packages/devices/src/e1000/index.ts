/**
 * A gigabit network card with Intel's 82540EM.
 *
 * @packageDocumentation
 */

export { E1000, type E1000Options } from './e1000.ts'
