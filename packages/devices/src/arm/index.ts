/**
 * Devices of boards with Arm processors: PrimeCell UART, clock and GPIO, a PCI Express host, and the registers of fw_cfg in memory.
 *
 * @packageDocumentation
 */
export { EcamHostBridge } from './ecam-host-bridge.ts'
export { fwCfgInMemory } from '../fw-cfg.ts'
export { Pl011 } from './pl011.ts'
export { Pl031, type Pl031Options } from './pl031.ts'
export { Pl061 } from './pl061.ts'
