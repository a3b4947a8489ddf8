import type { X86Domain } from '@retrap/hvm'
import { wallSeconds } from '../life/host.ts'

/**
 * Of a pause, in seconds. Linux's watchdogs report one of 20 and more (kernel/watchdog.c), and a busy host adds its own: memory
 * that comes late has had a pause of 18 reported as one of 24.
 */
const PAUSE_SECONDS = 9
/** Linux seeds its random numbers anew after a minute, or earlier soon after its boot (drivers/char/random.c, `crng_reseed_interval`). */
const MOST_SECONDS = 8 * PAUSE_SECONDS
/** The guest does what was due between two pauses: after so long it is looked at whether it has, ... */
const BETWEEN_NS = 200e6
/** ... and again so much later: a guest that wakes as often as it is looked at would be busy each time. */
const AGAIN_NS = 37e6
/** Instructions after which a guest that never waits has done that. */
const MANY_INSTRUCTIONS = 50e6
/** Looks in a row at which a guest has executed nothing. */
const STILL_LOOKS = 20

/** The real-time clocks of the boards, by name, as far as they are looked at here. */
type GivenClocks = Partial<Record<'mc146818' | 'pl031', { readonly wallSeconds?: unknown }>>

/** The part of a domain that is looked at here. */
export interface CatchingUp extends Pick<X86Domain, 'clock' | 'timers' | 'instructions'> {
  readonly vcpus: readonly { readonly dormant: boolean }[]
}

/** The part of a snapshot's state that is looked at here, before it is checked: it may come from anywhere. */
interface GivenState {
  readonly domain: { readonly devices: { readonly local: { readonly devices: object } } }
}

/**
 * Has a machine that follows the host's clock go on later than it was saved: part of the time that has passed since then passes for
 * the guest, too, as in pauses of the host. Its generator of random numbers is seeded anew in them, so that machines that go on from one
 * snapshot have numbers of their own, though their guest knows of no VM Generation ID.
 *
 * @returns the snapshot's state, as that of a machine that was saved later, and what has the guest's time go on
 */
export function catchUp<State extends GivenState>(
  state: State,
): {
  readonly state: State
  readonly begin: (parts: { readonly domain: CatchingUp }) => void
} {
  const clocks: GivenClocks = (state as GivenState | undefined)?.domain?.devices?.local?.devices ?? {}
  const name = clocks.mc146818 === undefined ? 'pl031' : 'mc146818'
  const savedAt = clocks[name]?.wallSeconds
  const passed = typeof savedAt === 'number' ? wallSeconds() - savedAt : 0
  if (!(passed > 0)) return { state, begin: () => {} }
  let left = Math.min(passed, MOST_SECONDS)
  // The real-time clock takes in all that has passed, and would count this part twice.
  const devices = { ...clocks, [name]: { ...clocks[name], wallSeconds: (savedAt as number) + left } }
  const { domain } = state
  const { local } = domain.devices
  return {
    state: { ...state, domain: { ...domain, devices: { ...domain.devices, local: { ...local, devices } } } },
    begin: ({ domain }) => {
      let before = 0
      let looks: number[] = []
      const pass = (): void => {
        const seconds = Math.min(left, PAUSE_SECONDS)
        left -= seconds
        before = domain.instructions
        looks = []
        domain.clock.hold(-seconds * 1e9)
        if (left > 0) timer.armAfter(BETWEEN_NS)
      }
      const timer = domain.timers.create(() => {
        const { instructions, vcpus } = domain
        looks.push(instructions)
        // Two pauses in a row are one to a guest whose memory is still on its way.
        const isThrough = vcpus.every(({ dormant }) => dormant) || instructions - before > MANY_INSTRUCTIONS
        // A guest that is halted with an interrupt that is masked executes nothing, and is not dormant.
        if (isThrough || looks.at(-STILL_LOOKS) === instructions) pass()
        else timer.armAfter(AGAIN_NS)
      })
      pass()
    },
  }
}
