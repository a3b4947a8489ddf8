import type { Card } from './card.ts'
import type { ConductedMachine } from './conductor.ts'

/** The part of a machine that a conductor needs: of a `Pc` or an `ArmMachine` of `@retrap/machine`, on deterministic time. */
export interface TimedMachine {
  /** Its processors, its clock and its timers. */
  readonly domain: {
    readonly clock: { now(): number }
    readonly timers: {
      readonly nextDeadlineNs: number
      create(callback: () => void): { armAfter(ns: number): void }
    }
    readonly vcpus: readonly { readonly dormant: boolean }[]
    /** Whether an instruction waits for a device. */
    readonly isBusy: boolean
    stop(exit: { readonly reason: 'stopped' }): void
  }
  /** Runs until the guest or `domain.stop` ends it. */
  run(options: object): Promise<{ readonly reason: string }>
}

/** Makes a machine one of a cluster. @param card - the network of its card, which it was made with */
export function conducted(machine: TimedMachine, card: Card): ConductedMachine {
  const { domain } = machine
  const now = (): number => domain.clock.now()
  const stop = domain.timers.create(() => domain.stop({ reason: 'stopped' }))
  card.attach({ now, create: (callback) => domain.timers.create(callback) })
  return {
    ...{ card, now },
    next: () => (domain.isBusy || domain.vcpus.some(({ dormant }) => !dormant) ? now() : domain.timers.nextDeadlineNs),
    async runTo(ns) {
      stop.armAfter(Math.max(0, ns - now()))
      const exit = await machine.run({})
      return exit.reason === 'stopped' ? undefined : exit
    },
  }
}
