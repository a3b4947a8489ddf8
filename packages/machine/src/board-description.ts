import { ACPI_PM, CMOS_CENTURY, HPET_BASE, Hpet, RESET_CONTROL } from '@retrap/devices'
import type { AcpiBoard } from './acpi/index.ts'
import { ISA_BRIDGE_DEVICE } from './board.ts'
import { PCI_HOLE_BASE, PCI_HOLE_LAST, type PcMemoryMap } from './loaders/index.ts'
import { SERIAL_PORTS } from './serial-port.ts'

const MINIMUM_HPET_TICK = 128

/** Describes a PC's board as its ACPI tables do. */
export function describeBoard(map: PcMemoryMap, apicIds: readonly number[], serialPorts: number): AcpiBoard {
  return {
    apicIds,
    localApicAddress: 0xfee0_0000,
    ioapic: { id: apicIds.length, address: 0xfec0_0000 },
    pmBase: ACPI_PM.base,
    sciIrq: ACPI_PM.sciIrq,
    smiCommand: { port: ACPI_PM.smiCommandPort, enable: ACPI_PM.acpiEnable, disable: ACPI_PM.acpiDisable },
    s5SleepType: ACPI_PM.s5SleepType,
    reset: { port: RESET_CONTROL.port, value: RESET_CONTROL.value },
    centuryIndex: CMOS_CENTURY,
    hpet: { address: HPET_BASE, capabilities: new Hpet().capabilities, minimumTick: MINIMUM_HPET_TICK },
    pciMemory: { start: Math.max(PCI_HOLE_BASE, map.lowRamBytes), end: PCI_HOLE_LAST },
    isaBridgeDevice: ISA_BRIDGE_DEVICE,
    serialPorts: SERIAL_PORTS.slice(0, serialPorts),
    keyboardController: true,
  }
}
