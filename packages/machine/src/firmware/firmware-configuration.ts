import { FOUR_GIB } from '@retrap/basics'
import { FW_CFG_KEY, FwCfg, type FwCfgItem } from '@retrap/devices'
import { relocatableAcpi, type AcpiBoard } from '../acpi/index.ts'
import type { FirmwareKernel, GuestRange, PcMemoryMap } from '../loaders/index.ts'
import { isKernelRom, type OptionRom } from './option-roms.ts'
import { buildSmbios, type MachineSmbios } from './smbios.ts'

/** The facts for firmware. */
export interface FirmwareConfiguration {
  /** Layout of the guest's memory. */
  readonly map: PcMemoryMap
  /** Number of processors. */
  readonly cpus: number
  /** The facts for the ACPI tables. */
  readonly board: AcpiBoard
  /** First port of the UART to which firmware copies its screen's text; 0: no copy. */
  readonly consolePort: number
  /** Option ROMs that firmware is to load and initialise. */
  readonly optionRoms: readonly OptionRom[]
  /** Device paths that firmware boots from, in the order to try them. */
  readonly bootOrder: readonly string[]
  /** Whether firmware offers its menu. */
  readonly bootMenu: boolean
  /** Whether there is a graphics card. */
  readonly graphics: boolean
  /** Texts of the SMBIOS tables. */
  readonly smbios?: MachineSmbios | undefined
  /** Files of the machine's user. */
  readonly files?: Readonly<Record<string, Uint8Array>> | undefined
  /** The items of a kernel that firmware is to start. */
  readonly kernel?: FirmwareKernel['keys']
}

const NO_GRAPHICS_KEY = 0x04
const BOOT_MENU_KEY = 0x0e
const E820_ENTRY_BYTES = 20
const E820_RAM = 1
/** Flag of a supported sleep state. The low bits hold SLP_TYP. */
const SLEEP_STATE = 0x80

/**
 * The fw_cfg device by which SeaBIOS and other firmware learn the board's parameters: RAM, processors, ACPI tables to
 * place, and the console.
 *
 * @param more - files of the chipset's
 *
 * Source: QEMU, docs/specs/fw_cfg.rst; SeaBIOS, docs/Runtime_config.md.
 */
export function firmwareConfiguration(
  configuration: FirmwareConfiguration,
  more: Readonly<Record<string, FwCfgItem>> = {},
): FwCfg {
  const { map, cpus, board, consolePort, optionRoms, bootOrder, bootMenu, graphics } = configuration
  const acpi = relocatableAcpi(board)
  const smbios = buildSmbios({ cpus, ram: ramRanges(map), identity: configuration.smbios })
  return new FwCfg({
    keys: new Map([
      [FW_CFG_KEY.ramSize, { bytes: little(map.lowRamBytes + map.highRamBytes, 8) }],
      [NO_GRAPHICS_KEY, { bytes: little(graphics ? 0 : 1, 2) }],
      [BOOT_MENU_KEY, { bytes: little(bootMenu ? 1 : 0, 2) }],
      [FW_CFG_KEY.cpus, { bytes: little(cpus, 2) }],
      [FW_CFG_KEY.maximumCpus, { bytes: little(cpus, 2) }],
      ...(configuration.kernel ?? []).map(([key, bytes]) => [key, { bytes }] as const),
    ]),
    files: {
      // A text of lines that ends with a zero.
      ...(bootOrder.length > 0 && { bootorder: { bytes: new TextEncoder().encode(`${bootOrder.join('\n')}\0`) } }),
      'etc/acpi/rsdp': { bytes: acpi.rsdp },
      'etc/acpi/tables': { bytes: acpi.tables },
      'etc/e820': { bytes: ramMap(map) },
      'etc/smbios/smbios-anchor': { bytes: smbios.anchor },
      'etc/smbios/smbios-tables': { bytes: smbios.tables },
      'etc/system-states': { bytes: sleepStates(board) },
      ...more,
      'etc/sercon-port': { bytes: little(consolePort, 2) },
      'etc/table-loader': { bytes: acpi.script },
      // SeaBIOS deploys every file of this folder as an option ROM, in the order of their names.
      ...Object.fromEntries(optionRoms.map(({ name, bytes }, i) => [romFile(i, name), { bytes }])),
      ...fwCfgItems(configuration.files),
    },
  })
}

/** Files of the machine's user as items that a guest reads. */
export const fwCfgItems = (files: Readonly<Record<string, Uint8Array>> = {}): Record<string, FwCfgItem> =>
  Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, { bytes }]))

/** Gives firmware the ACPI tables of a board that differs only in addresses. */
export function replaceAcpi(device: FwCfg, board: AcpiBoard): void {
  device.replaceFile('etc/acpi/tables', relocatableAcpi(board).tables)
}

/** Boot paths of the ROMs that start a kernel. Source: SeaBIOS, docs/Runtime_config.md, "bootorder". */
export const kernelRomPaths = (roms: readonly OptionRom[]): string[] =>
  roms.flatMap((rom, i) => (isKernelRom(rom) ? [`/rom@${romFile(i, rom.name)}`] : []))

/** A name that fw_cfg takes: at most 55 characters of ASCII. */
function romFile(index: number, name: string): string {
  return `genroms/${index}-${name.replaceAll(/[^\w.-]/g, '_').slice(-40)}`
}

/** All RAM: firmware takes the part that it reserves from these ranges. */
export function ramRanges(map: PcMemoryMap): GuestRange[] {
  const ranges = [{ gpa: 0, bytes: map.lowRamBytes }]
  if (map.highRamBytes > 0) ranges.push({ gpa: FOUR_GIB, bytes: map.highRamBytes })
  return ranges
}

/** S0 to S5: a machine that runs, perhaps sleeps with its RAM powered, or is off. */
function sleepStates({ s3SleepType, s5SleepType }: AcpiBoard): Uint8Array {
  const s3 = s3SleepType === undefined ? 0 : SLEEP_STATE | s3SleepType
  return Uint8Array.of(SLEEP_STATE, 0, 0, s3, 0, SLEEP_STATE | s5SleepType)
}

function ramMap(map: PcMemoryMap): Uint8Array {
  const ranges = ramRanges(map)
  const out = new Uint8Array(E820_ENTRY_BYTES * ranges.length)
  ranges.forEach(({ gpa, bytes }, i) => {
    out.set(little(gpa, 8), E820_ENTRY_BYTES * i)
    out.set(little(bytes, 8), E820_ENTRY_BYTES * i + 8)
    out.set(little(E820_RAM, 4), E820_ENTRY_BYTES * i + 16)
  })
  return out
}

function little(value: number, size: number): Uint8Array {
  const out = new Uint8Array(size)
  for (let i = 0; i < size; i++) out[i] = Math.floor(value / 2 ** (8 * i)) % 256
  return out
}
