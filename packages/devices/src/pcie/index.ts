/**
 * Slots whose devices come and go: ports of PCI Express, and places on bus 0 with hot plug by ACPI.
 *
 * @packageDocumentation
 */

export { AcpiHotPlug, type AcpiSlotOptions } from './acpi-hot-plug.ts'
export { PcieRootPort, type PcieRootPortOptions } from './root-port.ts'
