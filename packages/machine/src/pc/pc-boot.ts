import type { X86Domain } from '@retrap/hvm'
import type { AcpiBoard } from '../acpi/index.ts'
import { resumeDirectly, setDevices } from '../firmware/after-bios.ts'
import { FirmwareArea } from '../firmware/firmware-area.ts'
import { flashBelowOneMib } from '../firmware/flash.ts'
import {
  belowOneMib,
  loadFirmware,
  resetState,
  type FirmwareKernel,
  type InitialState,
  type PcMemoryMap,
  PCI_HOLE_BASE,
} from '../loaders/index.ts'
import type { OptionRom } from '../firmware/option-roms.ts'
import type { ResetImages } from '../lifecycle/machine-life.ts'
import { kernelImages, type PcOptions, startsDirectly } from '../options/pc-options.ts'
import { noKernel } from '../lifecycle/no-kernel.ts'
import { writeModelSpecificRegister, type Vcpu } from '@retrap/x86-cpu'

const IA32_MTRR_PHYSBASE0 = 0x200
const IA32_MTRR_PHYSMASK0 = 0x201
const IA32_MTRR_FIX64K_00000 = 0x250
const IA32_MTRR_FIX16K_80000 = 0x258
const IA32_MTRR_FIX16K_A0000 = 0x259
const IA32_MTRR_FIX4K_C0000 = 0x268
const FIX4K_COUNT = 8
const IA32_MTRR_DEF_TYPE = 0x2ff

/** Eight ranges of one memory type each (SDM vol. 3A, "MTRR Memory Types"). */
const UNCACHEABLE = 0x0000_0000_0000_0000n
const WRITE_PROTECTED = 0x0505_0505_0505_0505n
const WRITE_BACK = 0x0606_0606_0606_0606n

const DEFAULT_WRITE_BACK = 6n
const FIXED_ENABLE = 1n << 10n
const ENABLE = 1n << 11n
const VALID = 1n << 11n

/**
 * Leaves a processor as a PC's firmware does when it starts an operating system: its x87 unit as FNINIT does, and memory
 * types write-back by default, the hole below 4 GiB and the VGA window uncacheable, ROM write-protected. The PAT stays as
 * reset has left it. All processors of a machine must agree.
 *
 * @param ecam - PCI Express configuration space, which is uncacheable too
 *
 * Source: SDM vol. 3A, "Memory Type Range Registers (MTRRs)".
 */
function handOver(vcpu: Vcpu, ecam?: { readonly base: number; readonly buses: number }): void {
  const { processor } = vcpu
  vcpu.initialiseX87()
  if (!processor.has('MTRR')) return
  const hole = BigInt(PCI_HOLE_BASE)
  const maskOf = (bytes: bigint): bigint => ((1n << BigInt(processor.paging.maxPhysicalBits)) - 1n) & ~(bytes - 1n)
  const registers: [number, bigint][] = [
    [IA32_MTRR_FIX64K_00000, WRITE_BACK],
    [IA32_MTRR_FIX16K_80000, WRITE_BACK],
    [IA32_MTRR_FIX16K_A0000, UNCACHEABLE],
    ...Array.from({ length: FIX4K_COUNT }, (_, i): [number, bigint] => [IA32_MTRR_FIX4K_C0000 + i, WRITE_PROTECTED]),
    [IA32_MTRR_PHYSBASE0, hole],
    [IA32_MTRR_PHYSMASK0, maskOf((1n << 32n) - hole) | VALID],
    ...(ecam === undefined ? [] : uncacheable(1, BigInt(ecam.base), maskOf(BigInt(ecam.buses) << 20n))),
    [IA32_MTRR_DEF_TYPE, ENABLE | FIXED_ENABLE | DEFAULT_WRITE_BACK],
  ]
  for (const [index, value] of registers) {
    if (!writeModelSpecificRegister(vcpu, index, value)) throw new Error(`the CPU refused MTRR ${index.toString(16)}`)
  }
}

/** A variable range of that type. */
function uncacheable(range: number, base: bigint, mask: bigint): [number, bigint][] {
  return [
    [IA32_MTRR_PHYSBASE0 + 2 * range, base],
    [IA32_MTRR_PHYSMASK0 + 2 * range, mask | VALID],
  ]
}

/** The machine that a {@link PcBoot} starts. */
export interface BootedMachine {
  readonly map: PcMemoryMap
  readonly acpi: AcpiBoard
  readonly optionRoms: readonly OptionRom[]
  /** Contents of the flash memories. */
  readonly flash: readonly Uint8Array[]
}

/** Brings a PC to its first instruction at power-on and after sleep: firmware's, or without firmware a kernel's. */
export class PcBoot {
  readonly #domain: X86Domain
  readonly #options: PcOptions
  readonly #machine: BootedMachine
  readonly #direct: boolean
  /** Pieces of a kernel that firmware starts, which are in RAM before. */
  pieces: FirmwareKernel['loaded'] = []
  #area: FirmwareArea | undefined

  constructor(domain: X86Domain, options: PcOptions, machine: BootedMachine) {
    this.#domain = domain
    this.#options = options
    this.#machine = machine
    this.#direct = startsDirectly(options)
  }

  /** The firmware below 1 MiB, once it is loaded. */
  get area(): FirmwareArea | undefined {
    return this.#area
  }

  /** Loads the kernel or firmware, and sets the processors' registers for it. */
  async start(goesOn: boolean, given: ResetImages = {}): Promise<void> {
    const domain = this.#domain
    const { map, acpi, optionRoms, flash } = this.#machine
    // SeaBIOS and its like read the reset value of EDX as the CPUID signature.
    const { signature } = domain.engine.processor.model
    let state: InitialState = resetState(signature)
    const shadowed = flashBelowOneMib(flash)
    if (shadowed !== undefined) this.#area ??= new FirmwareArea(domain, shadowed, [belowOneMib(shadowed.length)])
    const { firmware, memoryBytes, smbios } = this.#options
    // The image may have been given up since.
    if (firmware !== undefined && this.#area === undefined) {
      const loaded = loadFirmware(firmware, signature)
      this.#area = new FirmwareArea(domain, firmware, loaded.regions)
      state = loaded.state
    }
    if (!goesOn) for (const { gpa, bytes } of this.pieces) domain.guestMemory.load(gpa, bytes)
    const images = kernelImages({ ...this.#options, ...given })
    if (this.#direct && !goesOn) {
      if (images === undefined) throw noKernel()
      // The module brings an assembler along.
      const { loadDirectly } = await import('../firmware/direct-boot.ts')
      state = await loadDirectly(domain, { map, memoryBytes, board: acpi, optionRoms, images, smbios })
    }
    for (const vcpu of domain.vcpus) {
      vcpu.reset()
      if (this.#direct) handOver(vcpu.cpu, acpi.ecam)
    }
    domain.vcpus[0]?.cpu.load(state)
  }

  /** Sets devices to the state that firmware would leave; only for machines without firmware. */
  async setDevices(given: ResetImages = {}): Promise<void> {
    if (!this.#direct) return
    const { acpi } = this.#machine
    const { kernel, hypervisor } = { ...this.#options, ...given }
    await setDevices(this.#domain, acpi, hypervisor === 'xen')
    if (kernel === undefined) return
    // Loaded by now, for kernels alone.
    const { isMultibootKernel } = await import('../loaders/kernel.ts')
    const { placePciFunctions, setTextMode } = await import('../firmware/prepared-board.ts')
    // Linux places PCI functions by itself.
    if (isMultibootKernel(kernel)) await placePciFunctions(this.#domain, acpi)
    if (acpi.graphics === true) await setTextMode(this.#domain)
  }

  /** Performs firmware's first steps after sleep, or lets firmware run. @returns whether the guest resumes */
  async resume(): Promise<boolean> {
    const domain = this.#domain
    const { acpi } = this.#machine
    const state = this.#direct
      ? await resumeDirectly(domain, acpi)
      : resetState(domain.engine.processor.model.signature)
    if (state === null) return false
    if (this.#direct) for (const vcpu of domain.vcpus) handOver(vcpu.cpu, acpi.ecam)
    domain.vcpus[0]?.cpu.load(state)
    return true
  }
}
