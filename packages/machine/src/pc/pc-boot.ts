import type { X86Domain } from '@retrap/hvm'
import type { AcpiBoard } from '../acpi/index.ts'
import { resumeDirectly, setDevices } from '../firmware/after-bios.ts'
import { FirmwareArea } from '../firmware/firmware-area.ts'
import { flashBelowOneMib } from '../firmware/flash.ts'
import { belowOneMib, loadFirmware, resetState } from '../loaders/index.ts'
import type { InitialState, PcMemoryMap } from '../loaders/index.ts'
import { handOverMemoryTypes } from '../firmware/mtrr.ts'
import type { OptionRom } from '../firmware/option-roms.ts'
import { kernelImages, type PcOptions, startsDirectly } from './pc-options.ts'

/** The machine that a {@link PcBoot} starts. */
export interface BootedMachine {
  readonly map: PcMemoryMap
  readonly acpi: AcpiBoard
  readonly optionRoms: readonly OptionRom[]
  /** Contents of the flash memories. */
  readonly flash: readonly Uint8Array[]
}

/** Brings a PC to its first instruction at power-on and after sleep: firmware's, or a kernel's where there is none. */
export class PcBoot {
  readonly #domain: X86Domain
  readonly #options: PcOptions
  readonly #machine: BootedMachine
  readonly #direct: boolean
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

  /** Loads what runs first, and sets the processors to it. */
  async start(): Promise<void> {
    const domain = this.#domain
    const { map, acpi, optionRoms, flash } = this.#machine
    // SeaBIOS and its like read the reset value of EDX as the CPUID signature.
    const { signature } = domain.engine.processor.model
    let state: InitialState = resetState(signature)
    const shadowed = flashBelowOneMib(flash)
    if (shadowed !== undefined) this.#area = new FirmwareArea(domain, shadowed, [belowOneMib(shadowed.length)])
    const { firmware, memoryBytes } = this.#options
    if (firmware !== undefined) {
      const loaded = loadFirmware(firmware, signature)
      this.#area = new FirmwareArea(domain, firmware, loaded.regions)
      state = loaded.state
    }
    const images = kernelImages(this.#options)
    if (images !== undefined && this.#direct) {
      // The module brings an assembler along.
      const { loadDirectly } = await import('../firmware/direct-boot.ts')
      state = await loadDirectly(domain, { map, memoryBytes, board: acpi, optionRoms, images })
    }
    for (const vcpu of domain.vcpus) {
      vcpu.reset()
      if (this.#direct) handOverMemoryTypes(vcpu.cpu, acpi.ecam)
    }
    domain.vcpus[0]?.cpu.load(state)
  }

  /** Sets devices as firmware would have set them, where there is none. */
  async setDevices(): Promise<void> {
    if (this.#direct) await setDevices(this.#domain, this.#machine.acpi, this.#options.hypervisor === 'xen')
  }

  /** Does what firmware does first after sleep, or has firmware do it. @returns whether the guest goes on */
  async resume(): Promise<boolean> {
    const domain = this.#domain
    const { acpi } = this.#machine
    const state = this.#direct
      ? await resumeDirectly(domain, acpi)
      : resetState(domain.engine.processor.model.signature)
    if (state === null) return false
    if (this.#direct) for (const vcpu of domain.vcpus) handOverMemoryTypes(vcpu.cpu, acpi.ecam)
    domain.vcpus[0]?.cpu.load(state)
    return true
  }
}
