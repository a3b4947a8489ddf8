/** A guest on deterministic time notices nothing that is done to its machine while that stands still, wherever it was stopped. */
import { setImmediate as turn } from 'node:timers/promises'
import { crc32 } from '@retrap/basics'
import { DebugExit } from '@retrap/devices'
import type { VirtualCpu } from '@retrap/hvm'
import { TEST_JIT } from '@retrap/tooling/jit'
import { slicedCount } from '@retrap/tooling/slice'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createPc, type Pc, type PcOptions } from '../src/index.ts'
import { ALL_PARTS, EXIT_PORT, lateModels, type Part, stopGuest } from './support/stop-guest.ts'

const MIB = 1 << 20
const MEMORY = 5 * MIB

/** A guest, and where its machine is stopped. */
interface Drawn {
  readonly parts: readonly Part[]
  readonly placement: 'inline' | 'deferred'
  /** Requests before the first stop, and from one stop to the next: as many stops as there are. */
  readonly requests: readonly number[]
  /** Turns of the event loop that an answer takes where the machine is stopped. */
  readonly late: number
  readonly verbs: readonly Verb[]
  /** A watcher of turns stops the machine, and not the model that is asked. */
  readonly watched: boolean
}

/** Stops a machine at requests of its guest. */
class Stops {
  #stop = new AbortController()
  /** Requests until the next stop. */
  #left = 0
  #next = 0
  readonly #drawn: Drawn

  constructor(drawn: Drawn) {
    this.#drawn = drawn
  }

  get models() {
    return [new DebugExit({ iobase: EXIT_PORT }), ...lateModels(() => this.#seen())]
  }

  async #seen(): Promise<void> {
    if (this.#drawn.watched || --this.#left !== 0) return
    this.#stop.abort()
    for (let i = 0; i < this.#drawn.late; i++) await turn()
  }

  /** @returns whether the guest goes on */
  async run(pc: Pc): Promise<boolean> {
    this.#stop = new AbortController()
    this.#left = this.#drawn.requests[this.#next++] ?? Infinity
    const end = ({ cpu }: VirtualCpu): void => void (cpu.busy && --this.#left === 0 && this.#stop.abort())
    if (this.#drawn.watched) pc.domain.watchTurns({ begin() {}, end })
    const { reason } = await pc.run({ signal: this.#stop.signal, timeoutMs: 60_000 })
    if (reason !== 'stopped') expect(reason).toBe('debug-exit')
    return reason === 'stopped'
  }
}

/** What is done to a machine that stands still. @returns the machine that goes on */
const VERBS = {
  nothing: async (pc) => pc,
  save: async (pc) => {
    await pc.save()
    return pc
  },
  elsewhere: async (pc, stops, options) => {
    const snapshot = structuredClone(await pc.save())
    pc.close()
    return createPc({ ...options, devices: stops.models, kernel: undefined, snapshot })
  },
  restore: async (pc, stops) => {
    const snapshot = await pc.save({ forRestore: true })
    await stops.run(pc)
    await pc.restore(snapshot)
    return pc
  },
  checkpoint: async (pc, stops) => {
    const checkpoint = await pc.checkpoint()
    await stops.run(pc)
    await checkpoint.reset()
    checkpoint.close()
    return pc
  },
  fork: async (pc, stops) => {
    const clone = await pc.fork({ devices: stops.models })
    pc.close()
    return clone
  },
  debugger: async (pc) => {
    const debug = await pc.debugger()
    await debug.stop()
    debug.register('rip')
    debug.resume()
    return pc
  },
} satisfies Readonly<Record<string, (pc: Pc, stops: Stops, options: PcOptions) => Promise<Pc>>>
type Verb = keyof typeof VERBS

/** Runs a guest to its end. @param verbs - one at each stop, in turn */
async function ended(drawn: Drawn): Promise<unknown> {
  const { parts, placement, verbs } = drawn
  const stops = new Stops(drawn)
  const options: PcOptions = {
    ...{ memoryBytes: MEMORY, codeCacheBytes: MIB, clock: 'deterministic', devicePlacement: placement, vga: 'none' },
    ...{ jit: TEST_JIT, kernel: stopGuest([...parts, 'work'], 30) },
    ...(verbs.includes('fork') && { forks: { clones: 8, writtenBytes: MIB } }),
  }
  let pc = await createPc({ ...options, devices: stops.models })
  for (let i = 0; await stops.run(pc); i++) {
    const verb: (typeof VERBS)[Verb] | undefined = VERBS[verbs[i % verbs.length]!]
    try {
      if (verb !== undefined) pc = await verb(pc, stops, options)
    } catch (error) {
      // The instruction that was in the middle has ended the machine.
      if (!pc.domain.hasEnded) throw error
      break
    }
  }
  const ram = new Uint8Array(MEMORY)
  pc.domain.guestMemory.read(0, ram)
  const end = [crc32(ram), pc.domain.clock.now(), pc.domain.vcpus.map(({ cpu }) => saveVcpuRegisters(cpu))]
  pc.close()
  return end
}

test('its end is the same, whatever is done in the middle of which instruction', { timeout: 60_000 }, async () => {
  const drawn = fc.record({
    parts: fc.array(fc.constantFrom(...ALL_PARTS), { minLength: 1, maxLength: 3 }),
    placement: fc.constantFrom('inline', 'deferred'),
    requests: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
    late: fc.nat(3),
    watched: fc.boolean(),
    verbs: fc.array(fc.constantFrom(...(Object.keys(VERBS) as Verb[])), { minLength: 1, maxLength: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(drawn, async (one) => {
      expect(await ended(one)).toEqual(await ended({ ...one, requests: [] }))
    }),
    { numRuns: slicedCount(60, 10) },
  )
})
