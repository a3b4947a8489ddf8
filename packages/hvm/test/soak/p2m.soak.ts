/**
 * The model checker of what happens when RAM leaves a guest: `npm run -s soak -- p2m --count N`. A step is a random
 * interleaving of changes of the map by four vCPUs, a toolstack and device models, with servers that take their time, hold
 * mappings, come, go and die; what must hold is looked at after every action, and nobody may wait for ever at the end.
 */
import type { Soak } from '@retrap/tooling/soak'
import { interleave } from '../interleavings/interleaving.ts'
import { Machine } from '../interleavings/world.ts'

/** Actions of a step. */
export const ACTIONS = 32

let machine: Machine | undefined

/** See the file's comment. */
export const soak: Soak = {
  name: 'p2m',
  count: 1000,
  async step(rng) {
    machine ??= new Machine()
    try {
      await interleave(machine, rng, ACTIONS)
    } catch (error) {
      // What it has left behind is nobody's.
      machine = undefined
      throw error
    }
  },
}
