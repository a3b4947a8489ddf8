import type { InterruptFabricState } from '@retrap/irqchip'
import { restoreVcpu, type SavedCpu, saveVcpu } from '@retrap/x86-cpu'
import type { ClockState } from '../clock.ts'
import type { DevicesState } from '../device-state.ts'
import { HvmError } from '../errors.ts'
import { guestFrames, type GuestFrames, type GuestPages, type GuestPageSource } from '../guest-frames.ts'
import { LatePages } from '../late-pages.ts'
import { PageCopies } from '../page-copies.ts'
import { checkShape } from '../state-shape.ts'
import type { RoundState } from '../virtual-rounds.ts'
import type { X86Domain } from './domain.ts'

/** Holds all of an {@link X86Domain} but the contents of its RAM. */
export interface X86DomainState {
  /** Version of this shape. */
  readonly version: 1
  /** Its virtual time. */
  readonly clock: ClockState
  /** Where the round of deterministic time is; null on the host's clock. */
  readonly round: RoundState | null
  /** No vCPU executes, as in S3. */
  readonly asleep: boolean
  /** Its processors, by number. */
  readonly vcpus: readonly SavedCpu[]
  /** Local APICs, I/O APIC and i8259 pair. */
  readonly interrupts: InterruptFabricState
  /** FERR# is asserted. */
  readonly numericError: boolean
  /** Address line 20 works. */
  readonly a20: boolean
  /** Its device models, with the memory that they own. */
  readonly devices: DevicesState
  /** Its RAM and ROM. */
  readonly frames: readonly GuestFrames[]
}

/** A domain as it was between two instructions. */
export interface X86DomainSnapshot {
  /** Everything else. */
  readonly state: X86DomainState
  /** The contents of RAM and ROM. */
  readonly pages: GuestPages
}

/** A domain that is being saved: it may run on, and its RAM is still to be copied. */
export interface X86DomainSaving {
  /** All but the contents of RAM. */
  readonly state: X86DomainState
  /**
   * Copies RAM and ROM as they were. To be called once.
   *
   * @param turn - called now and then: lets others have a turn of the host's event loop
   * @throws RangeError where the host has no memory for the copy: the domain is as it was
   */
  readonly pages: (turn: () => Promise<void>) => Promise<GuestPages>
}

/**
 * Saves a domain as it is now, and lets it run on before its RAM is copied: what is written meanwhile is copied first.
 * Every vCPU is brought between two instructions and the device models to rest; afterwards it can be run
 * on. Not while `run` is under way.
 *
 * @param deadlineMs - host time that devices may take
 * @param atRest - called at the instant that is saved
 * @throws HvmError `ERR_PENDING` for a device that has not answered in time; `ERR_STATE` for guest memory that is neither
 *   RAM nor ROM nor a device model's, and for a domain with a hypervisor's own interface. DeviceError as
 *   `Domain.saveDevices`
 */
export async function beginSavingX86Domain(
  domain: X86Domain,
  deadlineMs: number,
  atRest: () => void = () => undefined,
): Promise<X86DomainSaving> {
  if (domain.paravirtual !== null) {
    const why = 'its grants and rings are not part of a snapshot'
    throw new HvmError('ERR_STATE', `a domain that sees a hypervisor cannot be saved: ${why}`)
  }
  domain.secondLevel.late?.finishNow()
  const others: { state?: Omit<X86DomainState, 'devices'>; copies?: PageCopies } = {}
  const devices = await domain.saveDevices(deadlineMs, () => {
    others.state = stateOf(domain)
    atRest()
    // Last of all: nothing is thrown after it. The models go on when this has returned.
    others.copies = new PageCopies(domain)
  })
  const copies = others.copies!
  return { state: { ...others.state!, devices }, pages: (turn) => copies.collect(turn) }
}

/** Saves a domain as {@link beginSavingX86Domain} does, with its RAM. Not while `run` is under way. */
export async function saveX86Domain(
  domain: X86Domain,
  deadlineMs: number,
  atRest: () => void = () => undefined,
): Promise<X86DomainSnapshot> {
  const { state, pages } = await beginSavingX86Domain(domain, deadlineMs, atRest)
  return { state, pages: await pages(() => Promise.resolve()) }
}

/** A domain without its device models. */
function stateOf(domain: X86Domain): Omit<X86DomainState, 'devices'> {
  return {
    version: 1,
    clock: domain.clock.save(),
    round: domain.saveRound(),
    asleep: domain.asleep,
    vcpus: domain.vcpus.map(({ cpu }) => saveVcpu(cpu)),
    interrupts: domain.interrupts.save(),
    numericError: domain.architecture.ferr,
    a20: domain.a20,
    frames: guestFrames(domain),
  }
}

/** A domain that goes on from a snapshot, of whose RAM some is still to be brought. */
export interface X86DomainRestoring {
  /** Blocks of 2 MiB that have not been brought. */
  readonly left: number
  /**
   * Brings the rest, between others' turns; to be called even if the domain is not run. Contents that cannot be read stop
   * the domain with `memory-failure`.
   *
   * @param turn - lets others have a turn of the host's event loop
   */
  finish(turn: () => Promise<void>): Promise<void>
  /** Brings the rest at once. @throws what the source throws */
  finishNow(): void
  /** Ends it: the domain will not be used any more. */
  close(): void
}

/**
 * Restores a domain as {@link restoreX86Domain} does, and lets it run before its RAM is there: what is accessed is brought
 * first.
 */
export async function beginRestoringX86Domain(
  domain: X86Domain,
  snapshot: { readonly state: X86DomainState; readonly pages: GuestPages | GuestPageSource },
  mapped: () => void = () => undefined,
): Promise<X86DomainRestoring> {
  return restore(domain, snapshot, mapped)
}

/**
 * Restores a domain that has just been made, with the same number of vCPUs, the same processor and device models. It goes
 * on where the saved one was. A domain for which this has failed is of no more use.
 *
 * @param mapped - called when device models have mapped what they map, and before RAM is restored
 * @throws HvmError `ERR_STATE` for another version, number of vCPUs, or memory; DeviceError, IrqchipError, X86CpuError where
 *   devices, interrupt controllers or processors are others
 */
export async function restoreX86Domain(
  domain: X86Domain,
  snapshot: X86DomainSnapshot,
  mapped: () => void = () => undefined,
): Promise<void> {
  const late = await restore(domain, snapshot, mapped)
  late.finishNow()
}

async function restore(
  domain: X86Domain,
  { state, pages }: { readonly state: X86DomainState; readonly pages: GuestPages | GuestPageSource },
  mapped: () => void,
): Promise<LatePages> {
  if (state?.version !== 1)
    throw new HvmError('ERR_STATE', `state of a domain of version ${String(state?.version)}: expected 1`)
  checkShape('the domain’s state', state, stateOf(domain))
  if (state.vcpus.length !== domain.vcpus.length)
    throw new HvmError('ERR_STATE', `state of ${state.vcpus.length} vCPUs: expected ${domain.vcpus.length}`)
  domain.clock.restore(state.clock)
  domain.restoreRound(state.round)
  // The levels of wires come with the controllers; the models drive them to the same.
  domain.interrupts.restore(state.interrupts)
  domain.architecture.ferr = state.numericError
  const restored: { late?: LatePages } = {}
  // Models that go on look at rings in RAM at once.
  await domain.restoreDevices(state.devices, () => {
    domain.a20 = state.a20
    mapped()
    restored.late = new LatePages(domain, state.frames, pages)
    domain.asleep = state.asleep
    // Last of all: a processor that waits for a write watches the line in its RAM.
    for (const [id, saved] of state.vcpus.entries()) {
      const vcpu = domain.vcpus[id]!
      restoreVcpu(vcpu.cpu, saved)
      vcpu.updateEvents()
    }
  })
  return restored.late!
}
