import type { GdbTarget } from '@retrap/gdb'
import { requireSupported } from '../refusals/refusals.ts'
import { type runOf, traitsOf } from '../refusals/traits.ts'
import { MachineError } from '../errors.ts'
import { type ComposedMachine, Machine } from '../machine/machine.ts'
import type { MachineGate } from '../machine/machine-gate.ts'
import { type MachineMaker, makeMachine } from '../machine/compose.ts'
import { checkOptionValues } from '../option-values.ts'
import type { ArmGdbOptions } from './debugger/arm-debugger.ts'
import type { ArmMachineOptions } from './machine-options.ts'
import { type ArmKind, loadVirtParts, VirtBoard } from './virt-board.ts'
import type { JitCounts } from '@retrap/arm-cpu'
import type { ArmDomain } from '@retrap/hvm/arm'
import type { PcStatistics } from '../lifecycle/statistics.ts'

/**
 * Assembles the Arm board `virt`: memory, vCPUs, GIC, timers, devices, device tree and kernel.
 *
 * @throws MachineError, LoaderError, MemoryError or DeviceError with the value and the expected values
 */
export async function createArmMachine(options: ArmMachineOptions): Promise<ArmMachine> {
  return ArmMachine.create(options)
}

/** A running Arm board. Made by {@link createArmMachine}. */
export class ArmMachine extends Machine<ArmKind> {
  readonly #board: VirtBoard

  private constructor(machine: ComposedMachine<ArmKind>, board: VirtBoard) {
    super(machine)
    this.#board = board
  }

  /** @internal Use {@link createArmMachine}. @param gate - stands between the machine and its back ends */
  static create(given: ArmMachineOptions, gate?: MachineGate<ArmKind>): Promise<ArmMachine> {
    const maker: MachineMaker<ArmKind, VirtBoard, ArmMachine> = {
      check: checkArmOptions,
      checkValues: checkOptionValues,
      load: async (options) => new VirtBoard(options, await loadVirtParts(options)),
      build: (machine, board) => new ArmMachine(machine, board),
    }
    return makeMachine(maker, given, gate)
  }

  /** The device tree that the guest finds at power-on; empty of a machine that goes on from a snapshot. */
  get deviceTree(): Uint8Array {
    return this.#board.boot.deviceTree
  }

  /**
   * Shows the machine to gdb.
   *
   * @returns a target for `GdbSession` of `@retrap/gdb`
   */
  async gdbTarget(options: ArmGdbOptions): Promise<GdbTarget> {
    const { armGdbMachine, machineGdbTarget } = await import('./debugger/arm-debugger.ts')
    return machineGdbTarget(armGdbMachine, this.domain, await this.debugger(), options)
  }

  /** Returns counts since power-on. */
  statistics(): ArmStatistics {
    return measureArm(this.domain)
  }
}

/** Checks options that a type checker would have checked. @throws MachineError `ERR_OPTION` */
function checkArmOptions(options: ArmMachineOptions, run: ReturnType<typeof runOf>): void {
  const { kernel, flash = [], snapshot } = options
  if (kernel === undefined ? flash.length === 0 && snapshot === undefined : !(kernel instanceof Uint8Array))
    throw new MachineError('ERR_OPTION', 'kernel: expected its bytes, as a Uint8Array, or flash with firmware')
  checkOptionValues(options)
  requireSupported('make', traitsOf({ ...options, machine: 'virt' }, run))
}

/** Counts since power-on, over all vCPUs. */
export interface ArmStatistics extends Pick<
  PcStatistics,
  'instructions' | 'exits' | 'tlbMisses' | 'decodedInstructions' | 'codeInvalidations' | 'p2m' | 'machineBytes'
> {
  /** The cost of compiling hot code; absent without {@link ArmMachineOptions.jit}. */
  readonly jit?: JitCounts
  /** Hypercalls of a guest of Xen, parts of long ones counted. */
  readonly hypercalls: number
}

/** Reads a machine's counters. */
function measureArm(domain: ArmDomain): ArmStatistics {
  const { vcpus, exits, instructions, memory, p2m } = domain
  const { codeCache, jit } = domain.architecture.engine
  return {
    instructions,
    exits: { ...exits },
    tlbMisses: vcpus.reduce((sum, { processor }) => sum + processor.slowAccesses, 0),
    ...(jit !== undefined && { jit: jit.counts }),
    decodedInstructions: codeCache.decoded,
    hypercalls: vcpus.reduce((sum, { hypercalls }) => sum + hypercalls, 0),
    codeInvalidations: codeCache.invalidations,
    p2m: p2m.statistics(),
    machineBytes: memory.byteLength,
  }
}
