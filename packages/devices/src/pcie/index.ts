/**
 * PCI Express ports.
 *
 * @packageDocumentation
 */

export { PcieRootPort, type PcieRootPortOptions, type PcieRootPortState } from './root-port.ts'
