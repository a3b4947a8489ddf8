import type { GdbTarget } from '@retrap/gdb'
import { type DomainVapic, MOST_THREADS } from '@retrap/hvm'
import type { PcGdbOptions } from '../debugger/pc-debugger.ts'
import { MachineError } from '../errors.ts'
import { isHaltedForGood } from '../lifecycle/guest-trouble.ts'
import { measurePc, type PcStatistics } from '../lifecycle/statistics.ts'
import { type ComposedMachine, Machine } from '../machine/machine.ts'
import type { MachineGate } from '../machine/machine-gate.ts'
import { type MachineMaker, makeMachine } from '../machine/compose.ts'
import { checkOptionValues, object, show } from '../option-values.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { loadPcParts, PcBoard, type PcKind } from './pc-board.ts'
import { loadInstructions, modelOf, Processor, X86CpuError } from '@retrap/x86-cpu'
import { type MachineRun, requireSupported } from '../refusals/refusals.ts'
import { traitsOf } from '../refusals/traits.ts'

/**
 * Assembles a PC: memory, vCPUs, interrupt controllers, board devices, ACPI tables, and its kernel or firmware.
 *
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and the expected values
 */
export async function createPc(options: PcOptions): Promise<Pc> {
  return Pc.create(options)
}

/** A PC. Made by {@link createPc}. */
export class Pc extends Machine<PcKind> {
  /** The TPR patcher, if the machine has one. */
  readonly vapic: DomainVapic | undefined
  readonly #machine: ComposedMachine<PcKind>

  private constructor(machine: ComposedMachine<PcKind>, { vapic }: PcBoard) {
    super(machine)
    this.#machine = machine
    this.vapic = vapic
  }

  /** @internal Use {@link createPc}. @param gate - stands between the machine and its back ends */
  static create(given: PcOptions, gate?: MachineGate<PcKind>): Promise<Pc> {
    const maker: MachineMaker<PcKind, PcBoard, Pc> = {
      check: checkPcOptions,
      checkValues: checkOptionValues,
      load: async (options) => {
        await loadCpu(options)
        return new PcBoard(options, await loadPcParts(options))
      },
      build: (machine, board) => new Pc(machine, board),
    }
    return makeMachine(maker, given, gate)
  }

  /**
   * Presses the sleep button of the running machine: a system that acts on it (Debian's does where systemd-logind runs) goes
   * to sleep, and one that sleeps wakes. Of a machine that was restored, the guest finds that the time has passed meanwhile for
   * which the machine was away, so its clock is right afterwards.
   *
   * @returns whether the guest has enabled the button's event; otherwise the press has no effect
   * @throws MachineError `ERR_OPTION` while the run is recorded or replayed
   */
  async sleepButton(): Promise<boolean> {
    const { gate, placed } = this.#machine
    if (gate !== undefined)
      throw new MachineError('ERR_OPTION', 'the sleep button is not pressed while the run is recorded or replayed')
    const listens = (await placed.pressSleepButton?.()) === true
    this.domain.wake()
    return listens
  }

  /** Shows the machine to gdb. @returns the target that a `GdbSession` of `@retrap/gdb` takes */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    const { machineGdbTarget, pcGdbMachine } = await import('../debugger/pc-debugger.ts')
    return machineGdbTarget(pcGdbMachine, this.domain, await this.debugger(), options)
  }

  /**
   * Whether all processors have executed HLT with interrupts off, or were never started. Only an NMI, an SMI or a reset changes
   * that. False while the processors are in threads of their own.
   */
  get isHaltedForGood(): boolean {
    return isHaltedForGood(this.domain)
  }

  /** Returns counts since power-on. */
  statistics(): PcStatistics {
    return measurePc(this)
  }
}

/**
 * Checks values that a type checker would have checked, and whether such a machine exists.
 *
 * @throws MachineError `ERR_OPTION`, `ERR_CPUS`, `ERR_NOTHING_TO_RUN` with the option, its value and the expected ones
 */
function checkPcOptions(options: PcOptions, run: MachineRun): void {
  if (!object(options)) throw new MachineError('ERR_OPTION', `options ${show(options)}: expected an object`)
  checkOptionValues(options)
  const cpus = options.cpus ?? 1
  const most = (options.smp ?? 'turns') === 'turns' ? 128 : MOST_THREADS
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > most) {
    throw new MachineError('ERR_CPUS', `${show(cpus)} CPUs: expected 1–${most}${most < 128 ? ' in threads' : ''}`)
  }
  const firmware = options.firmware !== undefined || (options.flash?.length ?? 0) > 0
  if (options.kernel === undefined && !firmware && options.snapshot === undefined) {
    throw new MachineError('ERR_NOTHING_TO_RUN', 'neither a kernel nor a firmware image was given')
  }
  if (options.firmware !== undefined && (options.flash?.length ?? 0) > 0) {
    throw new MachineError('ERR_OPTION', 'both a firmware image and flash were given: expected one')
  }
  requireSupported('make', traitsOf(options, run))
  if (options.smm !== true && options.flash?.some(({ secure }) => secure) === true) {
    throw new MachineError('ERR_OPTION', 'flash: secure: expected smm true; nothing could write to the flash')
  }
  if (options.kernel !== undefined && firmware && options.drives?.some(({ bootIndex }) => bootIndex === 0) === true) {
    throw new MachineError('ERR_OPTION', 'drives: bootIndex 0: expected 1 or more; firmware starts the kernel first')
  }
}

/**
 * Loads the processor's model and instructions.
 *
 * @throws MachineError `ERR_OPTION` for a processor that cannot be, `ERR_CPUS` for several that could not start each other
 */
async function loadCpu({ cpu = 'max', cpus = 1 }: PcOptions): Promise<void> {
  let processor: Processor
  try {
    await loadInstructions(cpu)
    processor = new Processor(modelOf(cpu))
  } catch (error) {
    if (!(error instanceof X86CpuError)) throw error
    throw new MachineError('ERR_OPTION', `cpu ${show(cpu)}: ${error.message}`, { cause: error })
  }
  if (cpus > 1 && !processor.has('APIC')) {
    throw new MachineError('ERR_CPUS', `${cpus} CPUs of ${processor.model.name}: without apic expected 1`)
  }
}
