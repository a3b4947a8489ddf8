import { PAGE_BYTES } from '@retrap/memory'
import type { X86Domain } from '@retrap/hvm'
import { P2mEntry } from '@retrap/p2m'
import { buildAcpiTables, type AcpiBoard } from '../acpi/index.ts'
import { RESET_GFN } from './after-bios.ts'
import { BIOS_SEGMENT_END, writeBiosServices } from './bios-services.ts'
import { loadKernel, writeBiosData } from '../loaders/index.ts'
import type { GuestMemoryWriter, InitialState, KernelImages, PcMemoryMap } from '../loaders/index.ts'
import { initialiseOptionRoms, type OptionRom } from './option-roms.ts'
import { ramRanges } from './firmware-configuration.ts'
import { type MachineSmbios, placedSmbios } from './smbios.ts'

/** A kernel that starts without firmware, and the machine that it starts on. */
export interface DirectBoot {
  readonly map: PcMemoryMap
  readonly memoryBytes: number
  readonly board: AcpiBoard
  readonly optionRoms: readonly OptionRom[]
  /** Texts of the SMBIOS tables; undefined: no such tables. */
  readonly smbios?: MachineSmbios | undefined
  readonly images: Omit<KernelImages, 'rsdpAddress'>
}

/**
 * Loads a kernel and the firmware data that a kernel looks for.
 *
 * @returns the first processor's registers for the boot protocol
 * @throws LoaderError, MachineError
 */
export async function loadDirectly(domain: X86Domain, boot: DirectBoot): Promise<InitialState> {
  const { map, board } = boot
  const acpi = buildAcpiTables(board)
  const writer: GuestMemoryWriter = {
    ramBytes: boot.memoryBytes,
    e820: map.e820,
    write: (gpa, bytes) => {
      if (!domain.guestMemory.load(gpa, bytes)) throw new Error(`loader wrote outside RAM at ${gpa.toString(16)}`)
    },
  }
  const consolePort = board.serialPorts[0]?.iobase ?? 0
  writer.write(acpi.rsdpAddress, acpi.image)
  writeBiosData(writer, { serialPorts: board.serialPorts.map(({ iobase }) => iobase), hasScreen: board.graphics })
  writeBiosServices(writer, { e820: map.e820, consolePort, reset: board.reset })
  fillResetVector(domain)
  if (boot.smbios !== undefined) {
    const given = { cpus: domain.vcpus.length, ram: ramRanges(map), identity: boot.smbios }
    for (const { gpa, bytes } of placedSmbios(given, acpi.rsdpAddress + acpi.image.length)) writer.write(gpa, bytes)
  }
  // Option ROMs run before the kernel is loaded: a ROM may use any RAM then.
  await initialiseOptionRoms(domain, boot.optionRoms)
  const { state } = loadKernel(writer, { ...boot.images, rsdpAddress: acpi.rsdpAddress, hasScreen: board.graphics })
  // Firmware leaves this state behind: the boot processor's LINT0 takes the i8259's interrupts.
  domain.vcpus[0]?.apic.enterVirtualWireMode()
  return state
}

/** Copies the last page of the BIOS to the reset vector. */
function fillResetVector({ memory, guestMemory, p2m }: X86Domain): void {
  const page = new Uint8Array(PAGE_BYTES)
  guestMemory.read(BIOS_SEGMENT_END - PAGE_BYTES, page)
  const entry = new P2mEntry()
  p2m.lookup(RESET_GFN, entry)
  memory.write(entry.mfn * PAGE_BYTES, page)
}
