import type { GenericTimersState } from '@retrap/irqchip/gic'
import type { DomainRest } from '../domain-rest.ts'
import type { GuestPages, GuestPageSource } from '../memory/guest-frames.ts'
import {
  beginRestoringDomain,
  beginSavingDomain,
  type DomainRestoring,
  type DomainReturn,
  type DomainSaving,
  type DomainSnapshot,
  type DomainState,
  type OwnPart,
  saveWholeDomain,
} from '../saved-domain.ts'
import type { ArmDomain } from './domain.ts'
import type { ArmInterruptsState } from './interrupt-controller.ts'
import type { ArmVcpuState } from './vcpu.ts'

/** Holds all of an {@link ArmDomain} but the contents of its RAM. */
export interface ArmDomainState extends DomainState {
  /** Its vCPUs, by number. */
  readonly vcpus: readonly ArmVcpuState[]
  /** The interrupt controller. */
  readonly interrupts: ArmInterruptsState
  /** The generic timers. */
  readonly timers: GenericTimersState
}

/** A domain as it was between two instructions. */
export type ArmDomainSnapshot = DomainSnapshot<ArmDomainState>

/** A domain that is being saved: it may run on, and its RAM is still to be copied. */
export type ArmDomainSaving = DomainSaving<ArmDomainState>

/** The parts of a domain that only Arm has. */
const partOf = ({ architecture, vcpus }: ArmDomain): OwnPart<ArmDomainState> => ({
  save: () => ({
    vcpus: vcpus.map((vcpu) => vcpu.save()),
    interrupts: architecture.gic.save(),
    timers: architecture.timers.save(),
  }),
  restoreInterrupts({ interrupts, timers }) {
    architecture.gic.restore(interrupts)
    architecture.timers.restore(timers)
  },
  mapped: () => undefined,
  restoreVcpus(state) {
    for (const [id, saved] of state.vcpus.entries()) vcpus[id]!.restore(saved)
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
export function beginSavingArmDomain(domain: ArmDomain, rest: DomainRest): Promise<ArmDomainSaving> {
  return beginSavingDomain(domain, partOf(domain), rest)
}

/**
 * Saves a domain with its RAM. Every vCPU is brought between two instructions and the device models to rest; afterwards it
 * can be run on. Not while `run` is under way.
 *
 * @param deadlineMs - host time that devices may take
 * @throws as `Domain.rest` and {@link beginSavingArmDomain}
 */
export function saveArmDomain(domain: ArmDomain, deadlineMs: number): Promise<ArmDomainSnapshot> {
  return saveWholeDomain(domain, partOf(domain), deadlineMs)
}

/**
 * Restores a domain as {@link restoreArmDomain} does, and lets it run before its RAM is there: what is accessed is brought
 * first.
 *
 * @param used - how a domain is put back that has run; default one that has just been made
 * @throws as `restoreArmDomain`, but for what reading later pages throws; DeviceError `ERR_DEVICE` for a model of one that has
 *   run, and that is too late: the domain is as it was
 */
export function beginRestoringArmDomain(
  domain: ArmDomain,
  snapshot: DomainSnapshot<ArmDomainState, GuestPages | GuestPageSource>,
  used?: DomainReturn,
): Promise<DomainRestoring> {
  return beginRestoringDomain(domain, partOf(domain), snapshot, used)
}

/**
 * Restores a domain that has just been made, with the same number of vCPUs, interrupt controller and device models. It goes
 * on where the saved one was. A domain for which this has failed is of no more use.
 *
 * @throws HvmError `ERR_STATE` for another version, number of vCPUs, interrupt controller or memory; DeviceError,
 *   IrqchipError, ArmCpuError where states do not fit; what a source of pages throws
 */
export async function restoreArmDomain(
  domain: ArmDomain,
  snapshot: DomainSnapshot<ArmDomainState, GuestPages | GuestPageSource>,
): Promise<void> {
  const late = await beginRestoringArmDomain(domain, snapshot)
  late.finishNow()
}
