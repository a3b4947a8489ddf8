/**
 * Xen's interface for Arm guests.
 *
 * @packageDocumentation
 */
export { plugXenArm } from './plug.ts'
export type { XenArmCalls, XenArmDomain, XenArmPlaces, XenArmVcpu } from './domain.ts'
