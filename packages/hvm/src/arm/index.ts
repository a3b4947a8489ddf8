/**
 * Domains of Arm guests.
 *
 * @packageDocumentation
 */
export { ArmDomain } from './architecture.ts'
export {
  beginCopying,
  beginRestoringDomain,
  type DomainSnapshot,
  type DomainState,
  restoreDomain,
  type SavedArchitecture,
  type SavedDomain,
  saveDomain,
  saveDomainState,
} from '../instants/saved-domain.ts'
export type { ArmArchitecture, ArmDomainOptions, ArmDomainState, GicPlace } from './architecture.ts'
export type { GicV2Place, MessageFrame } from './gic-v2.ts'
export type { GicV3Place } from './gic-v3.ts'
export type {
  ArmInterruptController,
  InterruptRegisters,
  InterruptWires,
  ArmInterruptsState,
  BankedRegisters,
  GicV2DomainState,
  GicV3DomainState,
} from './interrupt-controller.ts'
export type { ArmGuestTranslation, ArmGuestWalk } from './guest-translation.ts'
export type { DescribedAbort } from './processor.ts'
export type { ArmVcpu, ArmVcpuState } from './vcpu.ts'
export type { ArmParavirtual } from './surroundings.ts'
export { PowerState } from './psci.ts'
