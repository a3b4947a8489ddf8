import { ACPI_PM, CMOS_CENTURY, CMOS_DAY_ALARM, HPET_BASE, Hpet, RESET_CONTROL } from '@retrap/devices'
import type { AcpiBoard } from '../acpi/index.ts'
import { PCI_HOLE_LAST, type PcMemoryMap } from '../loaders/index.ts'
import { CHIPSETS, type MachineType } from '../machine-type.ts'
import { SERIAL_PORTS } from './serial-port.ts'

/** Address of a machine's generation ID, and the ISA line that reports a new ID. */
export const GENERATION = { address: 0xfed6_0000, irq: 7 } as const
/** The name of the model that has the identifier. */
export const GENERATION_MODEL = 'vmgenid'

const MINIMUM_HPET_TICK = 128
const BUS_BYTES = 1 << 20

/** Describes a PC's board as its ACPI tables do. */
export function describeBoard(
  map: PcMemoryMap,
  apicIds: readonly number[],
  serialPorts: number,
  machine: MachineType,
  graphics: boolean,
  sleeps: boolean,
): AcpiBoard {
  const { isaBridgeDevice, lowRamLimit, ecam } = CHIPSETS[machine]
  const board: AcpiBoard = {
    machine,
    apicIds,
    localApicAddress: 0xfee0_0000,
    ioapic: { id: apicIds.length, address: 0xfec0_0000 },
    pmBase: ACPI_PM.base,
    sciIrq: ACPI_PM.sciIrq,
    smiCommand: { port: ACPI_PM.smiCommandPort, enable: ACPI_PM.acpiEnable, disable: ACPI_PM.acpiDisable },
    ...(sleeps && { s3SleepType: ACPI_PM.s3SleepType }),
    s5SleepType: ACPI_PM.s5SleepType,
    reset: { port: RESET_CONTROL.port, value: RESET_CONTROL.value },
    centuryIndex: CMOS_CENTURY,
    dayAlarmIndex: CMOS_DAY_ALARM,
    hpet: { address: HPET_BASE, capabilities: new Hpet().capabilities, minimumTick: MINIMUM_HPET_TICK },
    pciMemory: { start: Math.max(lowRamLimit, map.lowRamBytes), end: PCI_HOLE_LAST },
    isaBridgeDevice,
    serialPorts: SERIAL_PORTS.slice(0, serialPorts),
    keyboardController: true,
    graphics,
  }
  return ecam === undefined ? board : placeEcam(board, ecam)
}

/** A board whose PCI Express configuration space is here: the larger part of the PCI window beside it is left. */
export function placeEcam(board: AcpiBoard, ecam: NonNullable<AcpiBoard['ecam']>): AcpiBoard {
  const start = CHIPSETS[board.machine ?? 'pc'].lowRamLimit
  const end = ecam.base + ecam.buses * BUS_BYTES
  const below = { start, end: Math.min(ecam.base - 1, PCI_HOLE_LAST) }
  const above = { start: Math.max(start, end), end: PCI_HOLE_LAST }
  const pciMemory = below.end - below.start > above.end - above.start ? below : above
  return { ...board, ecam, pciMemory }
}
