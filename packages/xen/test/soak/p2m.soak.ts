/**
 * The model checker of what happens when RAM leaves a guest: `npm run -s soak -- p2m --count N`. A step is a random
 * interleaving of changes of the map by four vCPUs, a toolstack and device models, with servers that take their time, hold
 * mappings, come, go and die; what must hold is looked at after every action, and nobody may wait for ever at the end.
 */
import type { Soak } from '@retrap/tooling/soak'
import { interleave } from '../interleavings/interleaving.ts'
import { DomainStage } from '../interleavings/domain-stage.ts'
import { LightStage } from '../interleavings/light-stage.ts'

export const ACTIONS = 32
/** The same with processors, which do more at a time. */
export const DOMAIN_ACTIONS = 80

/** Of so many steps, one has real processors with real hypercalls. */
const LIGHT = 128

let light: LightStage | undefined
let domain: DomainStage | undefined

/** See the file's comment. */
export const soak: Soak = {
  name: 'p2m',
  count: 1000,
  async step(rng, index) {
    try {
      if (index % LIGHT === LIGHT - 1) await interleave((domain ??= await DomainStage.make()), rng, DOMAIN_ACTIONS)
      else await interleave((light ??= new LightStage()), rng, ACTIONS)
    } catch (error) {
      // What it has left behind is nobody's.
      light = undefined
      domain = undefined
      throw error
    }
  },
}
