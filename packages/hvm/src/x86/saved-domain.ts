import type { InterruptFabricState } from '@retrap/irqchip'
import { restoreVcpu, type SavedCpu, saveVcpu } from '@retrap/x86-cpu'
import type { DomainRest } from '../domain-rest.ts'
import type { ForkedMemory } from '../memory/forked-memory.ts'
import { guestFrames, type GuestPages, type GuestPageSource } from '../memory/guest-frames.ts'
import {
  beginRestoringDomain,
  beginSavingDomain,
  type DomainRestoring,
  type DomainReturn,
  type DomainSaving,
  type DomainSnapshot,
  type DomainState,
  type OwnPart,
  restoreForkedDomain,
  saveDomainState,
  saveWholeDomain,
} from '../saved-domain.ts'
import type { WrittenFrames } from '../memory/written-frames.ts'
import type { X86Domain } from './domain.ts'

/** Holds all of an {@link X86Domain} but the contents of its RAM. */
export interface X86DomainState extends DomainState {
  /** Its processors, by number. */
  readonly vcpus: readonly SavedCpu[]
  /** Local APICs, I/O APIC and i8259 pair. */
  readonly interrupts: InterruptFabricState
  /** FERR# is asserted. */
  readonly numericError: boolean
  /** Address line 20 works. */
  readonly a20: boolean
}

/** A domain as it was between two instructions. */
export type X86DomainSnapshot = DomainSnapshot<X86DomainState>

/** A domain that is being saved: it may run on, and its RAM is still to be copied. */
export type X86DomainSaving = DomainSaving<X86DomainState>

/** A domain that goes on from a snapshot, of whose RAM some is still to be brought. */
export type X86DomainRestoring = DomainRestoring

/** The parts of a domain that only x86 has. @param mapped - called when its own memory has been mapped */
const partOf = (domain: X86Domain, mapped: () => void = () => undefined): OwnPart<X86DomainState> => ({
  save: () => ({
    vcpus: domain.vcpus.map(({ cpu }) => saveVcpu(cpu)),
    interrupts: domain.interrupts.save(),
    numericError: domain.architecture.ferr,
    a20: domain.a20,
  }),
  restoreInterrupts({ interrupts, numericError }) {
    domain.interrupts.restore(interrupts)
    domain.architecture.ferr = numericError
  },
  mapped({ a20 }) {
    domain.a20 = a20
    mapped()
  },
  restoreVcpus({ vcpus }) {
    // A processor that waits for a write watches the line in its RAM.
    for (const [id, saved] of vcpus.entries()) {
      const vcpu = domain.vcpus[id]!
      restoreVcpu(vcpu.cpu, saved)
      vcpu.updateEvents()
    }
  },
})

/**
 * Saves a domain as it is now, and lets it run on before its RAM is copied: what is written after its rest has ended is
 * copied first.
 *
 * @param rest - of the domain
 * @throws HvmError `ERR_STATE` for guest memory that is neither RAM nor ROM nor a device model's, and for a domain with a
 *   hypervisor's own interface. DeviceError as `DomainRest.saveDevices`
 */
export function beginSavingX86Domain(domain: X86Domain, rest: DomainRest): Promise<X86DomainSaving> {
  return beginSavingDomain(domain, partOf(domain), rest)
}

/** Saves a domain as {@link beginSavingX86Domain} does, but for the contents of its RAM. */
export function saveX86DomainState(domain: X86Domain, rest: DomainRest): Promise<X86DomainState> {
  return saveDomainState(domain, partOf(domain), rest)
}

/**
 * Saves a domain as {@link beginSavingX86Domain} does, with its RAM. Every vCPU is brought between two instructions and the
 * device models to rest; afterwards it can be run on. Not while `run` is under way.
 *
 * @param deadlineMs - host time that devices may take
 * @throws as `Domain.rest` and {@link beginSavingX86Domain}
 */
export function saveX86Domain(domain: X86Domain, deadlineMs: number): Promise<X86DomainSnapshot> {
  return saveWholeDomain(domain, partOf(domain), deadlineMs)
}

/**
 * Restores a domain as {@link restoreX86Domain} does, and lets it run before its RAM is there: what is accessed is brought
 * first.
 *
 * @param used - how a domain is put back that has run; default one that has just been made
 */
export function beginRestoringX86Domain(
  domain: X86Domain,
  snapshot: { readonly state: X86DomainState; readonly pages: GuestPages | GuestPageSource },
  mapped?: () => void,
  used?: DomainReturn,
): Promise<X86DomainRestoring> {
  return beginRestoringDomain(domain, partOf(domain, mapped), snapshot, used)
}

/**
 * Saves a domain as {@link saveX86DomainState} does, and has its RAM be shared from that instant on.
 *
 * @param written - logs what the guest writes: sharing is no writing
 * @throws as {@link saveX86DomainState}; P2mError `ERR_NO_MEMORY`
 */
export async function forkX86Domain(
  domain: X86Domain,
  rest: DomainRest,
  written: WrittenFrames | null = null,
): Promise<{ readonly state: X86DomainState; readonly memory: ForkedMemory }> {
  const { ForkedMemory } = await import('../memory/forked-memory.ts')
  const state = await saveX86DomainState(domain, rest)
  const share = (): ForkedMemory => new ForkedMemory(domain, guestFrames(domain))
  return { state, memory: written === null ? share() : written.unwritten(0, Infinity, share) }
}

/**
 * Restores a domain that has just been made in the machine memory of a domain that was forked. One for which this has
 * failed is of no more use.
 *
 * @param mapped - called when device models have mapped what they map, and before RAM is restored
 * @throws as {@link restoreX86Domain}; P2mError `ERR_NO_MEMORY`
 */
export function restoreForkedX86Domain(
  domain: X86Domain,
  state: X86DomainState,
  memory: ForkedMemory,
  mapped?: () => void,
): Promise<void> {
  return restoreForkedDomain(domain, partOf(domain, mapped), state, memory)
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
  mapped?: () => void,
): Promise<void> {
  const late = await beginRestoringX86Domain(domain, snapshot, mapped)
  late.finishNow()
}
