/**
 * A sound controller with an AC'97 codec.
 *
 * @packageDocumentation
 */

export { Ac97 } from './ac97.ts'
