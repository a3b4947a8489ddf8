import { OUTSIDE } from '@retrap/hvm'
import type { LightStage } from './light-stage.ts'
import type { Mutation } from './world.ts'

/** Ways to have it wrong, each of which somebody has gone. */
export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  /** As Xen was until 588d961d15: the vCPU that comes first sends the notice, and the others go on. */
  'one flag a domain': ({ invalidations, dispatch }) => {
    const deliver = invalidations.deliver.bind(invalidations)
    invalidations.deliver = (vcpu) => {
      for (const each of invalidations.noticed.keys()) {
        if (each !== vcpu && !dispatch.requests.has(each)) invalidations.noticed[each] = invalidations.epoch
      }
      return deliver(vcpu)
    }
  },

  'a cache that says it has dropped what is still held': (world) => {
    const open = world.openMemory.bind(world)
    world.openMemory = (grip) => {
      const cache = open(grip)
      const invalidate = cache.invalidate.bind(cache)
      const revokeWrites = cache.revokeWrites.bind(cache)
      const done = { done: true, pending: 0, onDone: (callback: () => void) => callback(), settled: async () => {} }
      cache.invalidate = (...range) => (invalidate(...range), done)
      cache.revokeWrites = (...range) => (revokeWrites(...range), done)
      return cache
    }
  },

  'a notice that counts as acknowledged when it is sent': ({ dispatch, invalidations }) => {
    const invalidate = dispatch.requests.invalidate.bind(dispatch.requests)
    dispatch.requests.invalidate = (vcpu, notice) => {
      const status = invalidate(vcpu, notice)
      for (let id = 0; id < 8; id++) {
        const server = dispatch.server(id)
        if (server !== null) invalidations.acknowledged(server, invalidations.epoch)
      }
      return status
    }
  },

  'a notice sent while a request is latched': ({ invalidations, stage }) => {
    const latched = invalidations.latched.bind(invalidations)
    invalidations.latched = (vcpu) => (stage as LightStage).busy[vcpu] !== true && latched(vcpu)
  },

  'a change from outside in the middle of an instruction': ({ stage }) => {
    ;(stage as LightStage).isExecuting = () => false
  },

  'a change from outside that stops no vCPU': ({ invalidations }) => {
    const flag = invalidations.flag.bind(invalidations)
    invalidations.flag = (actor) => {
      if (actor !== OUTSIDE) flag(actor)
    }
  },

  'a server that comes later is not waited for': ({ invalidations }) => {
    invalidations.serverChanged = () => undefined
  },

  'a loss of the right to write that nobody hears of': ({ invalidations }) => {
    const raise = invalidations.raise.bind(invalidations)
    invalidations.raise = (gfn, mfn, count, writesOnly) => {
      if (!writesOnly) raise(gfn, mfn, count, writesOnly)
    }
  },
}

/** The same, where a run loop and real hypercalls are around the mechanism. */
export const DOMAIN_MUTATIONS: Readonly<Record<string, Mutation>> = {
  ...Object.fromEntries(
    [
      'one flag a domain',
      'a notice that counts as acknowledged when it is sent',
      'a change from outside that stops no vCPU',
      'a server that comes later is not waited for',
    ].map((name) => [name, MUTATIONS[name] as Mutation]),
  ),

  'a run loop that does not ask': ({ invalidations }) => {
    invalidations.flagged = () => false
  },

  'a change from outside in the middle of an instruction': ({ changes, invalidations, p2m }) => {
    changes.request = async (change) => {
      const before = invalidations.enter(OUTSIDE)
      try {
        return { result: change(p2m), ticket: invalidations.ticket() }
      } finally {
        invalidations.leave(before)
      }
    }
  },
}
