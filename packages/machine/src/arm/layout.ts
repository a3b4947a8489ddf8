import { GIB, MIB } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { MachineError } from '../errors.ts'

/** A device's place on the board. */
export interface ArmPlace {
  /** Guest-physical address of its first byte. */
  readonly base: number
  /** Bytes of the device's range. */
  readonly bytes: number
}

/** A device with an interrupt. */
export interface ArmDevicePlace extends ArmPlace {
  /** Shared peripheral interrupt, counted from 0; as an interrupt number of the GIC it is 32 higher. */
  readonly spi: number
}

/** Addresses and interrupts of all devices of a board. */
export interface ArmLayout {
  /** Flash memories side by side, for firmware and its variables; `bytes` is the size of each. */
  readonly flash: ArmPlace & { readonly count: number }
  readonly gicDistributor: ArmPlace
  /** Processor interface of a GICv2. */
  readonly gicCpuInterface: ArmPlace
  /** Frame of a GICv2 that makes interrupts of messages: `count` of them, from `spi` on. */
  readonly gicMessages: ArmDevicePlace & { readonly count: number }
  /** Interrupt translation service of a GICv3. */
  readonly gicIts: ArmPlace
  /** Redistributors of a GICv3, one for each processor. */
  readonly gicRedistributors: ArmPlace
  /** PL011. */
  readonly uart: ArmDevicePlace
  /** PL031. */
  readonly rtc: ArmDevicePlace
  /** Registers of fw_cfg. */
  readonly fwCfg: ArmPlace
  /** PL061. */
  readonly gpio: ArmDevicePlace
  /** The page with the identifier of the machine's generation. */
  readonly generation: ArmDevicePlace
  /** Virtio transports side by side; `bytes` and `spi` belong to the first, and the interrupt numbers are consecutive. */
  readonly virtio: ArmDevicePlace & { readonly count: number }
  /** PCI Express configuration space; interrupt pins A to D have SPIs that follow one another. */
  readonly pcie: ArmDevicePlace & { readonly buses: number }
  /** Window for memory of PCI devices, below 4 GiB. */
  readonly pcieMemory: ArmPlace
  /** Ports of PCI devices, from port 0 up. */
  readonly pciePorts: ArmPlace
  /** Window for memory of PCI devices, above 4 GiB. */
  readonly pcieMemory64: ArmPlace
  /** The place of a Xen guest's grant table; initially unmapped. */
  readonly xenGrantTable: ArmPlace
  /** Pages of Xen's own: the rings of the store and of the console. */
  readonly xenPages: ArmPlace
  readonly ram: { readonly base: number }
}

/**
 * Where everything is on the board `virt`: addresses and interrupts of QEMU's, which kernels and firmware for it know. The
 * device tree, the ACPI tables and the models are all made from this table.
 */
export const VIRT: ArmLayout = {
  flash: { base: 0, bytes: 64 * MIB, count: 2 },
  gicDistributor: { base: 0x0800_0000, bytes: 0x1_0000 },
  gicCpuInterface: { base: 0x0801_0000, bytes: 0x1_0000 },
  gicMessages: { base: 0x0802_0000, bytes: 0x1000, spi: 48, count: 64 },
  gicIts: { base: 0x0808_0000, bytes: 0x2_0000 },
  gicRedistributors: { base: 0x080a_0000, bytes: 0xf6_0000 },
  uart: { base: 0x0900_0000, bytes: 0x1000, spi: 1 },
  rtc: { base: 0x0901_0000, bytes: 0x1000, spi: 2 },
  fwCfg: { base: 0x0902_0000, bytes: 0x18 },
  gpio: { base: 0x0903_0000, bytes: 0x1000, spi: 7 },
  // Free on QEMU's board.
  generation: { base: 0x090f_0000, bytes: PAGE_BYTES, spi: 15 },
  virtio: { base: 0x0a00_0000, bytes: 0x200, spi: 16, count: 32 },
  pcie: { base: 0x40_1000_0000, bytes: 256 * MIB, spi: 3, buses: 256 },
  pcieMemory: { base: 0x1000_0000, bytes: 0x2eff_0000 },
  pciePorts: { base: 0x3eff_0000, bytes: 0x1_0000 },
  pcieMemory64: { base: 0x80_0000_0000, bytes: 512 * GIB },
  // Xen's own boards have these where this one has memory of PCI devices.
  xenGrantTable: { base: 0x0b00_0000, bytes: 16 * MIB },
  xenPages: { base: 0x0c00_0000, bytes: 0x2000 },
  ram: { base: 0x4000_0000 },
}

/** Private peripheral interrupts, counted from 0; as interrupt numbers of the GIC they are 16 higher. */
export interface ArmPrivateInterrupts {
  /** Interrupt of the non-secure EL2 physical timer. */
  readonly hypervisorTimer: number
  /** Interrupt of the EL1 virtual timer. */
  readonly virtualTimer: number
  /** Interrupt of the secure EL1 physical timer. */
  readonly secureTimer: number
  /** Interrupt of the non-secure EL1 physical timer. */
  readonly physicalTimer: number
  /** Interrupt of Xen's event channels. */
  readonly xenEvents: number
}

/**
 * Private interrupts of every board (Arm DEN 0094, Base System Architecture, "PPI assignments"), and GUEST_EVTCHN_PPI of Xen's
 * public header arch-arm.h.
 */
export const PPI: ArmPrivateInterrupts = {
  hypervisorTimer: 10,
  virtualTimer: 11,
  secureTimer: 13,
  physicalTimer: 14,
  xenEvents: 15,
}

/** First shared and first private interrupt of a GIC (Arm IHI 0069, "INTIDs"). */
const FIRST_SPI = 32
const FIRST_PPI = 16

/** The number that the interrupt controller has for a shared interrupt; ACPI's global system interrupt is the same. */
export const gsiOfSpi = (spi: number): number => FIRST_SPI + spi

/** The number that the interrupt controller has for a private interrupt. */
export const gsiOfPpi = (name: keyof ArmPrivateInterrupts): number => FIRST_PPI + PPI[name]

/** The power button's line of the GPIO. */
export const POWER_BUTTON_LINE = 3
/** Most processors of the board. */
const MOST_CPUS = 64
/** Processors that a GICv2 can name. */
const MOST_CPUS_GICV2 = 8
/** Processors with one value of affinity 1: a GICv3 sends software interrupts to 16 at once (Arm IHI 0069, "ICC_SGI1R_EL1"). */
const CLUSTER_CPUS = 16
/** A flat address space for RAM ends where the PCI windows begin. */
const MOST_RAM_BYTES = VIRT.pcie.base - VIRT.ram.base

/** A device of the caller's, with its device tree properties, so that a driver is found. */
export interface ArmDeviceNode extends ArmPlace {
  /** Names of drivers, the most exact first (Devicetree Specification 0.4, 2.3.1). */
  readonly compatible: readonly string[]
  /** Shared peripheral interrupt, counted from 0, level-sensitive and active high; default none. */
  readonly spi?: number | undefined
}

/** The composition of the board. */
export interface ArmBoard {
  /** Number of processors: 1 to 64, or 8 with a GICv2. */
  readonly cpus: number
  /** RAM in bytes: whole pages. */
  readonly memoryBytes: number
  /** Version of the interrupt controller; default 3. */
  readonly gic?: 2 | 3 | undefined
  /** Whether a GICv3 has an interrupt translation service, where messages of PCI functions go; default true. */
  readonly its?: boolean | undefined
  /** Whether the board has the flash memories; default true. */
  readonly flash?: boolean | undefined
  /** Instruction by which a guest calls PSCI; default `hvc`. */
  readonly psciConduit?: 'hvc' | 'smc' | undefined
  /** The hypervisor visible to the guest: `none` (default), or `xen`. ACPI tables do not announce it. */
  readonly hypervisor?: 'none' | 'xen' | undefined
  /** Devices of the caller's in the device tree. ACPI tables do not list them. */
  readonly deviceNodes?: readonly ArmDeviceNode[] | undefined
  /** Whether the board has the page with the generation ID; default false. */
  readonly generation?: boolean | undefined
}

/**
 * Asserts that a board can be made.
 *
 * @throws MachineError `ERR_CPUS`, `ERR_MEMORY_SIZE`; `ERR_OPTION` for a node over a device of the board, or with no SPI
 */
export function checkArmBoard({ cpus, memoryBytes, gic = 3, deviceNodes = [] }: ArmBoard): void {
  const most = gic === 2 ? MOST_CPUS_GICV2 : MOST_CPUS
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > most)
    throw new MachineError('ERR_CPUS', `cpus ${cpus}: expected 1 to ${most} with a GICv${gic}`)
  if (
    !Number.isInteger(memoryBytes) ||
    memoryBytes % PAGE_BYTES !== 0 ||
    memoryBytes < MIB ||
    memoryBytes > MOST_RAM_BYTES
  )
    throw new MachineError(
      'ERR_MEMORY_SIZE',
      `memoryBytes ${memoryBytes}: expected whole 4 KiB pages, from ${MIB} to ${MOST_RAM_BYTES}`,
    )
  for (const node of deviceNodes) checkNode(node)
}

const FREE = { first: VIRT.xenGrantTable.base, last: VIRT.pcieMemory.base - 1 }
const FIRST_FREE_SPI = VIRT.gicMessages.spi + VIRT.gicMessages.count
const LAST_SPI = 255

function checkNode({ base, bytes, spi, compatible }: ArmDeviceNode): void {
  const what = `device node ${compatible.join(', ')}`
  if (compatible.length === 0 || !compatible.every((name) => /^[\x21-\x7e]+$/.test(name)))
    throw new MachineError('ERR_OPTION', `${what}: expected names of drivers, such as acme,thermometer`)
  const holds = Number.isSafeInteger(base) && Number.isSafeInteger(bytes) && bytes > 0
  if (!holds || base < FREE.first || base + bytes - 1 > FREE.last)
    throw new MachineError(
      'ERR_OPTION',
      `${what}: ${bytes} bytes at 0x${base.toString(16)}: expected a place from 0x${FREE.first.toString(16)} to 0x${FREE.last.toString(16)}`,
    )
  if (spi !== undefined && !(Number.isInteger(spi) && spi >= FIRST_FREE_SPI && spi <= LAST_SPI))
    throw new MachineError('ERR_OPTION', `${what}: SPI ${spi}: expected ${FIRST_FREE_SPI} to ${LAST_SPI}`)
}

/** Whether a board has an interrupt translation service. */
export const hasIts = ({ gic = 3, its = true }: ArmBoard): boolean => gic === 3 && its

/** A processor's affinity fields, as bits of MPIDR_EL1: clusters of 16 with a GICv3, all in one with a GICv2. */
export const affinityOf = (cpu: number): number => (Math.floor(cpu / CLUSTER_CPUS) << 8) | (cpu % CLUSTER_CPUS)
