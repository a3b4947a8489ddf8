import type { MachineType } from '../machine-type.ts'

/** A 16550 serial port as the tables describe it. */
export interface AcpiSerialPort {
  /** First of the serial port's eight I/O ports. */
  readonly iobase: number
  /** ISA interrupt line. */
  readonly irq: number
}

/** An HPET for the ACPI tables. */
export interface AcpiHpet {
  /** GPA of the timer's 1 KiB register block. */
  readonly address: number
  /** Low 32 bits of its General Capabilities register. */
  readonly capabilities: number
  /** Smallest period, in main counter ticks, that loses no interrupt. */
  readonly minimumTick: number
}

/** The facts about a machine for its ACPI tables. Addresses are GPAs. */
export interface AcpiBoard {
  /** The chipset of the interrupt links; default `pc`. */
  readonly machine?: MachineType | undefined
  /** PCI Express configuration space: GPA of bus 0, and number of buses. Absent: no MCFG table, and no PCI Express. */
  readonly ecam?: { readonly base: number; readonly buses: number } | undefined
  /** Local APIC ids, one for each processor; processor UIDs count from 0. */
  readonly apicIds: readonly number[]
  /** Local APIC page. */
  readonly localApicAddress: number
  /** The I/O APIC that serves GSIs from 0. */
  readonly ioapic: { readonly id: number; readonly address: number }
  /** First port of the power-management block, whose registers `ACPI_PM` in `@retrap/devices` lists. */
  readonly pmBase: number
  /** ISA line and GSI of the System Control Interrupt. */
  readonly sciIrq: number
  /** Port through which ACPI mode is switched on and off; absent: always on. */
  readonly smiCommand?: { readonly port: number; readonly enable: number; readonly disable: number } | undefined
  /** SLP_TYP value of S3; absent: S3 is not supported. */
  readonly s3SleepType?: number | undefined
  /** SLP_TYP value that means S5. */
  readonly s5SleepType: number
  /** Reset register: port and the value that resets. */
  readonly reset: { readonly port: number; readonly value: number }
  /** CMOS byte that holds the day of the alarm; default none. */
  readonly dayAlarmIndex?: number | undefined
  /** CMOS byte that holds the century. */
  readonly centuryIndex: number
  /** The HPET; absent: no HPET table. */
  readonly hpet?: AcpiHpet | undefined
  /** Memory window below 4 GiB that the PCI host bridge forwards, both inclusive. */
  readonly pciMemory: { readonly start: number; readonly end: number }
  /** Memory window above 4 GiB that the PCI host bridge forwards, both inclusive. */
  readonly pciMemory64?: { readonly start: number; readonly end: number } | undefined
  /** PCI device number on bus 0 of the ISA bridge that holds the PIRQ route registers; absent: INTx reaches only GSIs 16 to 19. */
  readonly isaBridgeDevice?: number | undefined
  /** PCI device numbers of slots with hot plug by ACPI; absent: no hot plug. */
  readonly hotPlugSlots?: readonly number[] | undefined
  /** Serial ports by number; the DSDT names each. */
  readonly serialPorts: readonly AcpiSerialPort[]
  /** Whether the board has an 8042-compatible keyboard controller. */
  readonly keyboardController: boolean
  /** Address of the VM generation ID, and the GSI whose edge reports a new ID; absent: no generation device. */
  readonly generation?: { readonly address: number; readonly irq: number } | undefined
  /** Whether there is a graphics card with VGA, which an OS may look for; default false. */
  readonly graphics?: boolean | undefined
}
