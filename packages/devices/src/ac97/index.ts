/**
 * A sound controller with an AC'97 codec.
 *
 * @packageDocumentation
 */

export { Ac97, type Ac97Options, type Ac97State } from './ac97.ts'
