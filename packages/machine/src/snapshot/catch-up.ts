import { TWO_32 } from '@retrap/basics'
import type { Word64 } from '@retrap/device'
import type { X86Domain } from '@retrap/hvm'
import { wallSeconds } from '../lifecycle/host.ts'

/**
 * Length of a pause of a guest that has work, in seconds. Linux's watchdogs report one of 20 and more (kernel/watchdog.c),
 * and a busy host adds its own: with memory that is fetched late, a pause of 18 was reported as one of 24.
 */
const PAUSE_SECONDS = 9
/**
 * Length of a pause of a guest without work before its next timer, in seconds. Linux's watchdogs allow such waits (kernel/time/
 * tick-sched.c, `tick_nohz_update_jiffies`), and its clock sources count 440 seconds or more (kernel/time/clocksource.c).
 */
const REST_SECONDS = 300
/** A guest whose clock is at most this many seconds behind has caught up. */
const LEAST_SECONDS = 0.05
/** The longest time that a guest is given in pauses, to bound their number; its real-time clock jumps over the rest. */
const MOST_SECONDS = 7 * 86_400
/** A guest whose next timer is further away has stopped its tick, as the slowest tick (HZ=100) takes 10 ms. */
const QUIET_NS = 15e6
/** Guest time in nanoseconds from a pause to the first check whether the guest has run its due timers. */
const LOOK_NS = 100e3
/** Longest guest time to the next check, else a quarter of that since the pause: one that wakes in step would look busy. */
const MOST_LOOK_NS = 37e6
/** Guest time that a guest that is never idle runs between two pauses. */
const BETWEEN_NS = 200e6
/** Instructions that a guest that is never idle executes, at least, between two pauses. */
const MANY_INSTRUCTIONS = 10e6
/** Time without executed instructions after which a guest counts as dormant: it is halted with a masked interrupt pending. */
const STILL_NS = 2e9
/** Guest time in which a guest without a VM Generation ID driver polls the identifier by a program of its own. */
const SETTLED_NS = 120e6
/** The longest guest time that input is held back from a guest that catches up. */
const MOST_HELD_NS = 5e9

/** The real-time clocks of the boards, by name, as far as they are looked at here. */
type GivenClocks = Partial<Record<'mc146818' | 'pl031', { readonly wallSeconds?: unknown }>>

/** The parts of a domain that catching up uses. */
export interface CatchingUp extends Pick<X86Domain, 'clock' | 'timers' | 'instructions'> {
  readonly vcpus: readonly { readonly dormant: boolean }[]
  readonly devices: Pick<X86Domain['devices'], 'isAtRest'>
}

/** The part of a state that is read before any check: the state may be arbitrary data. */
interface GivenState {
  readonly domain: {
    readonly clock: { readonly time: Readonly<Word64> }
    readonly devices: { readonly local: { readonly devices: object } }
  }
}

/** An instant of a machine: the host's time, in seconds from 1970, and the guest's, in nanoseconds from power-on. */
export interface SavedInstant {
  readonly wallSeconds: number
  readonly guestNs: number
}

/**
 * Returns the instant of a snapshot from which time is to pass for its guest, by {@link catchUp}, and its state for that: the
 * real-time clock would count that time twice. Of a machine that does not follow the host's clock there is none.
 */
export function savedInstant<State extends GivenState>(
  state: State,
): { readonly state: State; readonly from?: SavedInstant } {
  const savedAt = clockOf(state)?.savedAt ?? Infinity
  const passed = wallSeconds() - savedAt
  if (!(passed > 0)) return { state }
  const { hi, lo } = state.domain.clock.time
  const from = { wallSeconds: savedAt + Math.max(0, passed - MOST_SECONDS), guestNs: hi * TWO_32 + lo }
  return { state: withSavedAt(state, passed > MOST_SECONDS ? savedAt + MOST_SECONDS : null), from }
}

/** Returns a state as if the machine had been saved that many seconds earlier. */
export function savedEarlier<State extends GivenState>(state: State, seconds: number): State {
  return seconds > 0 ? withSavedAt(state, (clockOf(state)?.savedAt ?? 0) - seconds) : state
}

/** Sets the host time noted by a state's real-time clock; null: the clock continues from the time that it shows. */
function withSavedAt<State extends GivenState>(state: State, savedAt: number | null): State {
  const clock = clockOf(state)
  if (clock === undefined) return state
  const { domain } = state
  const { local } = domain.devices
  const given = (local.devices as GivenClocks)[clock.name]
  const devices = { ...local.devices, [clock.name]: { ...given, wallSeconds: savedAt } }
  return { ...state, domain: { ...domain, devices: { ...domain.devices, local: { ...local, devices } } } }
}

/** Returns the real-time clock of a state and the host time that it noted; undefined: it does not follow the host. */
function clockOf(
  state: GivenState | undefined,
): { readonly name: keyof GivenClocks; readonly savedAt: number } | undefined {
  const clocks: GivenClocks = state?.domain?.devices?.local?.devices ?? {}
  const name = clocks.mc146818 === undefined ? 'pl031' : 'mc146818'
  const savedAt = clocks[name]?.wallSeconds
  return typeof savedAt === 'number' ? { name, savedAt } : undefined
}

/** Time that is to pass for a guest. */
export interface PassingTime {
  /** The seconds that have not passed yet. */
  behind(): number
  /** Stops catching up, because the machine is restored to another instant. */
  end(): void
}

/** {@link catchUp}. */
export type LetTimePass = typeof catchUp

/**
 * Lets time pass for a guest that resumes later than it was saved, as if its host had paused, so that any guest's clock is
 * right. A pause of a minute makes the guest reseed its random numbers, if the VM Generation ID did not.
 *
 * @param from - the saved instant, from which all host time passes; undefined: no time passes
 * @param through - called when the guest has handled the elapsed timers and the new generation ID
 */
export function catchUp(domain: CatchingUp, from: SavedInstant | undefined, through: () => void): PassingTime {
  const { clock, timers, devices } = domain
  let isOver = false
  let [heldNs, isHeld] = [0, true]
  // Counted from the last pause.
  let [instructions, passedNs] = [domain.instructions, 0]
  // Counted from the guest's last instruction.
  let [executed, stillNs] = [domain.instructions, 0]
  const timer = timers.create(look)
  look()
  return {
    behind: () => (isOver ? 0 : behind()),
    end,
  }

  function end(): void {
    timer.cancel()
    isOver = true
    free()
  }

  function free(): void {
    if (isHeld) through()
    isHeld = false
  }

  // The host may hold time back meanwhile, too.
  function behind(): number {
    return from === undefined ? 0 : wallSeconds() - from.wallSeconds - (clock.now() - from.guestNs) / 1e9
  }

  function look(): void {
    if (domain.instructions !== executed) stillNs = 0
    executed = domain.instructions
    const rests = domain.vcpus.every(({ dormant }) => dormant) || stillNs > STILL_NS
    // While the guest's memory is still being restored, two pauses in a row look like one to the guest.
    const isThrough = rests || executed - instructions > MANY_INSTRUCTIONS
    const left = behind()
    if (left > LEAST_SECONDS && rests && devices.isAtRest() && timers.nextDeadlineNs - clock.now() > QUIET_NS)
      pause(Math.min(left, REST_SECONDS))
    else if (left > LEAST_SECONDS && isThrough && passedNs > BETWEEN_NS) pause(Math.min(left, PAUSE_SECONDS))
    if (left <= LEAST_SECONDS && isThrough && heldNs > SETTLED_NS) return end()
    if (heldNs > MOST_HELD_NS) free()
    const ns = Math.min(Math.max(LOOK_NS, passedNs / 4), MOST_LOOK_NS)
    passedNs += ns
    stillNs += ns
    heldNs += ns
    timer.armAfter(ns)
  }

  function pause(seconds: number): void {
    clock.hold(-seconds * 1e9)
    ;[instructions, passedNs] = [domain.instructions, 0]
  }
}
