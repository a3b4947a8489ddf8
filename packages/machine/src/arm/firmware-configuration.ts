import { FW_CFG_KEY, FwCfg, type FwCfgItem } from '@retrap/devices'
import { fwCfgInMemory } from '@retrap/devices/arm'
import { KERNEL_KEY } from '../loaders/firmware-keys.ts'
import { commandLineBytes } from '../loaders/guest-memory.ts'
import { hex, LoaderError } from '../loaders/errors.ts'
import { COMMAND_LINE_LIMIT } from './device-tree.ts'
import { isGzip, unpackImage } from './kernel-image.ts'
import { type ArmBoard, VIRT, checkArmBoard, hasIts } from './layout.ts'
import { TableImage, type AcpiTables } from '../acpi/image.ts'
import { relocate, type RelocatableAcpi } from '../acpi/relocatable.ts'
import { dsdt, mcfg, rsdp, xsdt } from '../acpi/tables.ts'
import { dbg2, fadt, gtdt, iort, madt, pptt, spcr } from './acpi-tables.ts'
import { dsdtBody, UART_PATH } from './dsdt.ts'
import { fwCfgItems } from '../firmware/firmware-configuration.ts'
import { buildSmbios, type MachineSmbios, type Smbios } from '../firmware/smbios.ts'

const ENTRY_POINT_BYTES = 0x18
const CHECKSUM = 0x05

/**
 * SMBIOS structures of the Arm board, with the 64-bit entry point: RAM may lie above 4 GiB.
 *
 * Source: DMTF DSP0134, "System Management BIOS (SMBIOS) Reference Specification" 3.0, 5.2.2, "SMBIOS 3.0 (64-bit) Entry Point".
 */
export function armSmbios({ cpus, memoryBytes }: ArmBoard, identity?: MachineSmbios): Smbios {
  const ram = [{ gpa: VIRT.ram.base, bytes: memoryBytes }]
  const { tables } = buildSmbios({ cpus, ram, product: 'retrap Arm board', identity })
  const anchor = new Uint8Array(ENTRY_POINT_BYTES)
  for (const [i, character] of [...'_SM3_'].entries()) anchor[i] = character.charCodeAt(0)
  // Edition 3.0, revision 1 of the entry point.
  anchor.set([ENTRY_POINT_BYTES, 3, 0, 0, 1], CHECKSUM + 1)
  new DataView(anchor.buffer).setUint32(0x0c, tables.length, true)
  anchor[CHECKSUM] = -anchor.reduce((sum, byte) => sum + byte, 0) & 0xff
  return { anchor, tables }
}

/**
 * The ACPI tables of the board, with absolute addresses: RSDP, XSDT, FADT, DSDT, MADT, PPTT, GTDT, SPCR, DBG2, MCFG and, with an
 * ITS, IORT. There is no RSDT: Arm's firmware uses addresses of 64 bits.
 *
 * @param base - GPA of the image, a multiple of 64
 * @throws MachineError `ERR_CPUS`, `ERR_MEMORY_SIZE`
 *
 * Source: Arm DEN 0044, Base Boot Requirements, "ACPI tables".
 */
export function buildArmAcpiTables(board: ArmBoard, base: number): AcpiTables {
  checkArmBoard(board)
  const image = new TableImage(base)
  const definition = image.place('DSDT', dsdt(dsdtBody(board)))
  const roots = [
    image.place('FACP', fadt(board, definition)),
    image.place('APIC', madt(board)),
    image.place('PPTT', pptt(board)),
    image.place('GTDT', gtdt()),
    image.place('MCFG', mcfg(VIRT.pcie)),
    image.place('SPCR', spcr()),
    image.place('DBG2', dbg2(`\\_SB.${UART_PATH}`)),
    ...(hasIts(board) ? [image.place('IORT', iort())] : []),
  ]
  return image.finish(rsdp(0, image.place('XSDT', xsdt(roots))))
}

/** The same for firmware to place, by files of fw_cfg: `etc/acpi/rsdp`, `etc/acpi/tables`, `etc/table-loader`. */
export const relocatableArmAcpi = (board: ArmBoard): RelocatableAcpi => relocate(buildArmAcpiTables(board, 0))

const BOOT_MENU_KEY = 0x0e
/** "MZ" of an EFI program. */
const DOS_MAGIC = 0x5a4d

/** A kernel that firmware is to start, with its initrd and command line. */
export interface ArmFirmwareKernel {
  /** An EFI program, such as a Linux Image. */
  readonly kernel: Uint8Array
  /** The kernel's initial RAM disk; absent: none. */
  readonly initrd?: Uint8Array | undefined
  /** The kernel's command line; default empty. */
  readonly commandLine?: string | undefined
}

/** The settings for firmware beside the board. */
export interface ArmFirmwareSettings {
  /** Device paths in boot order; default the order that firmware finds. */
  readonly bootOrder?: readonly string[] | undefined
  /** Whether the firmware waits for a key and offers its menu; default false. */
  readonly bootMenu?: boolean | undefined
  /** The kernel that firmware is to start; absent: none. */
  readonly kernel?: ArmFirmwareKernel | undefined
  /** Texts of the SMBIOS tables. */
  readonly smbios?: MachineSmbios | undefined
  /** Files of the machine's user. */
  readonly userFiles?: Readonly<Record<string, Uint8Array>> | undefined
  /** Further files. */
  readonly files?: Readonly<Record<string, FwCfgItem>> | undefined
}

/**
 * Prepares a kernel for firmware, which starts EFI programs.
 *
 * @param limit - most bytes that a compressed one may have
 * @throws LoaderError for a file that is no EFI program
 */
export async function firmwareKernel(images: ArmFirmwareKernel, limit: number): Promise<ArmFirmwareKernel> {
  // Under firmware, an EFI image with a built-in decompressor decompresses itself.
  const kernel = isGzip(images.kernel) ? await unpackImage(images.kernel, limit, undefined) : images.kernel
  const magic = kernel.length < 2 ? 0 : kernel[0]! | (kernel[1]! << 8)
  if (magic !== DOS_MAGIC)
    throw new LoaderError(
      'ERR_FORMAT',
      'kernel',
      `a file of ${kernel.length} bytes that begins with ${hex(magic)}, which firmware cannot start`,
      'an EFI program, such as a Linux Image with its EFI stub',
    )
  return { ...images, kernel }
}

/** The fw_cfg device of the board, by which UEFI firmware learns of the machine. */
export function armFirmwareConfiguration(board: ArmBoard, settings: ArmFirmwareSettings = {}): FwCfg {
  const { bootOrder = [], bootMenu = false, kernel, files, userFiles, smbios: identity } = settings
  const acpi = relocatableArmAcpi(board)
  const smbios = armSmbios(board, identity)
  const cpus = { bytes: Uint8Array.of(board.cpus, 0) }
  return new FwCfg({
    place: fwCfgInMemory(VIRT.fwCfg.base),
    keys: new Map([
      [FW_CFG_KEY.cpus, cpus],
      [FW_CFG_KEY.maximumCpus, cpus],
      [BOOT_MENU_KEY, { bytes: Uint8Array.of(bootMenu ? 1 : 0, 0) }],
      ...(kernel === undefined ? [] : kernelItems(kernel)),
    ]),
    files: {
      // A text of lines that ends with a zero.
      ...(bootOrder.length > 0 && { bootorder: { bytes: new TextEncoder().encode(`${bootOrder.join('\n')}\0`) } }),
      'etc/acpi/rsdp': { bytes: acpi.rsdp },
      'etc/acpi/tables': { bytes: acpi.tables },
      'etc/smbios/smbios-anchor': { bytes: smbios.anchor },
      'etc/smbios/smbios-tables': { bytes: smbios.tables },
      'etc/table-loader': { bytes: acpi.script },
      ...files,
      ...fwCfgItems(userFiles),
    },
  })
}

function kernelItems({ kernel, initrd, commandLine = '' }: ArmFirmwareKernel): [number, FwCfgItem][] {
  const item = (sizeKey: number, dataKey: number, bytes: Uint8Array): [number, FwCfgItem][] => [
    [sizeKey, { bytes: new Uint8Array(Uint32Array.of(bytes.length).buffer) }],
    [dataKey, { bytes }],
  ]
  const text = commandLineBytes(commandLine, COMMAND_LINE_LIMIT)
  return [
    ...item(KERNEL_KEY.kernelSize, KERNEL_KEY.kernelData, kernel),
    ...item(KERNEL_KEY.commandLineSize, KERNEL_KEY.commandLineData, text),
    ...(initrd === undefined ? [] : item(KERNEL_KEY.initrdSize, KERNEL_KEY.initrdData, initrd)),
  ]
}
