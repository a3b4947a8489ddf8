/**
 * Domains of Arm guests.
 *
 * @packageDocumentation
 */
export { ArmDomain } from './domain.ts'
export type { ArmArchitecture, ArmDomainOptions, GicPlace } from './architecture.ts'
export type { GicV2Place, MessageFrame } from './gic-v2.ts'
export type { GicV3Place } from './gic-v3.ts'
export type { ArmInterruptController, BankedRegisters } from './interrupt-controller.ts'
export type { ArmVcpu } from './vcpu.ts'
export type { ArmParavirtual } from './paravirtual.ts'
export { PowerState } from './psci.ts'
