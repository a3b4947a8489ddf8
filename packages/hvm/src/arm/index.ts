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
  type SavedDomain,
  saveDomain,
  saveDomainState,
} from '../checkpoints/saved-domain.ts'
export type { ArmArchitecture, ArmDomainOptions, ArmDomainState, GicPlace } from './architecture.ts'
export type { ArmGuestWalk } from './guest-translation.ts'
export type { DescribedAbort } from './processor.ts'
export type { ArmVcpu } from './vcpu.ts'
export type { ArmParavirtual } from './surroundings.ts'
export { PowerState } from './psci.ts'
