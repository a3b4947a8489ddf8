import type { AcpiBoard } from '../../src/acpi/index.ts'

/** A board with all that ACPI's tables tell of. */
export const board: AcpiBoard = {
  apicIds: [0, 1, 2, 3],
  localApicAddress: 0xfee0_0000,
  ioapic: { id: 4, address: 0xfec0_0000 },
  pmBase: 0x600,
  sciIrq: 9,
  smiCommand: { port: 0xb2, enable: 0xf1, disable: 0xf0 },
  s5SleepType: 0,
  reset: { port: 0xcf9, value: 6 },
  centuryIndex: 0x32,
  hpet: { address: 0xfed0_0000, capabilities: 0x8086_a201, minimumTick: 100 },
  pciMemory: { start: 0xc000_0000, end: 0xfebf_ffff },
  pciMemory64: { start: 0x80_0000_0000, end: 0xff_ffff_ffff },
  isaBridgeDevice: 1,
  serialPorts: [
    { iobase: 0x3f8, irq: 4 },
    { iobase: 0x2f8, irq: 3 },
  ],
  keyboardController: true,
}
