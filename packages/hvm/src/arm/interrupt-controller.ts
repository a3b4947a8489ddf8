import type { SystemValue } from '@retrap/arm-cpu'
import { type PlainState, Stateful, type StatePart } from '@retrap/device'
import { HvmError } from '../errors.ts'

/** Registers in memory, banked per vCPU at one address. */
export interface BankedRegisters {
  /** Guest-physical address of the first. */
  readonly base: number
  /** Bytes of the registers' range. */
  readonly bytes: number
  /** Reads 1, 2 or 4 bytes as a vCPU sees them. */
  readonly read: (vcpu: number, offset: number, size: number) => number
  /** Writes the registers. */
  readonly write: (vcpu: number, offset: number, size: number, value: number) => void
}

/** The inputs of an interrupt controller, and its outputs to the vCPUs: a `GicV2` or `GicV3` of `@retrap/irqchip/gic`. */
export interface InterruptWires {
  /** Drives the input of a shared interrupt, from 32. */
  setLine(intid: number, level: boolean): void
  /** Drives the input of a private interrupt of a vCPU, 16–31. */
  setPpi(vcpu: number, intid: number, level: boolean): void
  /** Whether a vCPU's IRQ is asserted. */
  irqPending(vcpu: number): boolean
  /** Whether a vCPU's FIQ is asserted. */
  fiqPending(vcpu: number): boolean
}

/** The system registers of an interrupt controller. */
export interface InterruptRegisters {
  /** Reads a system register of a vCPU. @returns whether the register belongs to the controller */
  readSystemRegister(vcpu: number, encoding: number, into: SystemValue): boolean
  /** Writes a system register of a vCPU. @returns whether the register belongs to the controller */
  writeSystemRegister(vcpu: number, encoding: number, lo: number, hi: number): boolean
}

/** The interface of an Arm domain's interrupt controller. */
export interface ArmInterruptController {
  /** The controller's system registers of each vCPU, reported in ID_AA64PFR0_EL1.GIC; null: none. */
  readonly systemRegisters: InterruptRegisters | null
  /** Inputs, and its outputs to the vCPUs. */
  readonly wires: InterruptWires
  /** Registers banked per vCPU; shared registers are in the domain's dispatcher. */
  readonly banked: readonly BankedRegisters[]
  /** INTID of the interrupt that a vCPU is to take next; 1023: none. Nothing changes. */
  highestPending(vcpu: number): number
  /** A vCPU is turned on, or off: interrupts reach it, or do not. */
  connect(vcpu: number, connected: boolean): void
  /** Delivers a device's message, if it goes to an address for messages. @param requester - of the function that sends it */
  signalMsi(address: number, data: number, requester: number): void
  /** Power-on state. */
  reset(): void
  /** Returns the state, by the version of the architecture. */
  save(): PlainState
  /**
   * Takes a saved state, with the levels of its inputs.
   *
   * @throws HvmError `ERR_STATE` for another controller's state; IrqchipError `ERR_STATE` for a state of another shape
   */
  restore(state: unknown): void
}

/** A controller whose saved state is that of its chips. */
export abstract class SavedController extends Stateful {
  protected override refuseState(text: string): never {
    throw new HvmError('ERR_STATE', text)
  }

  /** Returns a part that saves a chip, or null without one. The chip itself refuses a state of another shape. */
  protected chip(chip: Stateful | undefined): StatePart {
    return {
      save: () => chip?.save() ?? null,
      restore: (state: unknown) => chip?.restore(state),
      reset: () => chip?.reset(),
      stateFault: (state) => {
        if ((state === null) === (chip === undefined)) return undefined
        return state === null ? ' is missing: expected that of a chip' : ' is that of a chip: expected none'
      },
    }
  }
}

/** Cuts a zeroed part of machine memory for a structure of eight-byte words. @returns its machine address */
export type AllocateRegion = (bytes: number, purpose: string) => number

export interface ControllerWiring {
  /** Allocates memory for state. */
  readonly allocate: AllocateRegion
  /** vCPUs. */
  readonly cpus: number
  /** IRQ or FIQ of a vCPU has changed. */
  readonly signal: (vcpu: number) => void
}
