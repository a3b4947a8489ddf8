import type { GdbTarget } from '@retrap/gdb'
import type { DomainVapic } from '@retrap/hvm'
import type { PcGdbOptions } from '../debugger/gdb-target.ts'
import { MachineError } from '../errors.ts'
import { measurePc, type PcStatistics } from '../life/statistics.ts'
import { type ComposedMachine, Machine } from '../machine/machine.ts'
import type { MachineGate } from '../machine/machine-gate.ts'
import { makeMachine, type MachineMaker } from '../machine/make-machine.ts'
import { checkOptionValues } from '../option-values.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { PcBoard, type PcKind } from './pc-board.ts'
import { checkPcOptions } from './pc-option-rules.ts'
import { loadPcParts } from './pc-parts.ts'

/**
 * Assembles a PC: memory, vCPUs, interrupt controllers, board devices, ACPI tables, and what it starts.
 *
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and what was expected
 */
export async function createPc(options: PcOptions): Promise<Pc> {
  return Pc.create(options)
}

/** A PC. Made by {@link createPc}. */
export class Pc extends Machine<PcKind> {
  /** The TPR patcher, where there is one. */
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
      load: async (options) => new PcBoard(options, await loadPcParts(options)),
      build: (machine, board) => new Pc(machine, board),
    }
    return makeMachine(maker, given, gate)
  }

  /**
   * Presses the sleep button of the running machine: a system that acts on it (Debian's does where systemd-logind runs) goes
   * to sleep, and one that sleeps wakes. Of a machine that was restored, the guest finds that the time has passed meanwhile for
   * which the machine was away, so its clock is right afterwards.
   *
   * @returns whether the guest has asked for the button's event; where it has not, nothing will happen
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

  /** Shows the machine to gdb. @returns what a `GdbSession` of `@retrap/gdb` takes */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    const [{ pcGdbTarget }, debug] = await Promise.all([import('../debugger/gdb-target.ts'), this.debugger()])
    return pcGdbTarget(this.domain, debug, options)
  }

  /** Returns counts since power-on. */
  statistics(): PcStatistics {
    return measurePc(this)
  }
}
