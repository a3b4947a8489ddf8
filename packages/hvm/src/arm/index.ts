/**
 * Domains of Arm guests.
 *
 * @packageDocumentation
 */
export { ArmDomain } from './domain.ts'
export type { ArmArchitecture, ArmDomainOptions, GicPlace } from './architecture.ts'
export type { ArmVcpu } from './vcpu.ts'
export { PowerState } from './psci.ts'
