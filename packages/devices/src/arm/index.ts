/**
 * Devices of boards with Arm processors: PrimeCell UART, clock and GPIO, a PCI Express host, and the registers of fw_cfg in memory.
 *
 * @packageDocumentation
 */
export { EcamHostBridge, type EcamHostBridgeOptions } from './ecam-host-bridge.ts'
export type { FwCfgRegisters } from '../fw-cfg.ts'
export { fwCfgInMemory } from './fw-cfg-in-memory.ts'
export { Pl011, type Pl011Options } from './pl011.ts'
export type { ByteBatchState } from '../byte-batch.ts'
export type { Pl011State } from './pl011-registers.ts'
export { Pl031, type Pl031Options, type Pl031State } from './pl031.ts'
export { Pl061, type Pl061Options, type Pl061State } from './pl061.ts'
