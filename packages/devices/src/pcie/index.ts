/**
 * PCI Express ports.
 *
 * @packageDocumentation
 */

export { PcieRootPort, type PcieRootPortOptions } from './root-port.ts'
