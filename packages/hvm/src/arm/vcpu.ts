import { ArmCpu } from '@retrap/arm-cpu'
import type { ArmEngine, ArmHost, ArmTranslation, SavedArmCpu, SystemValue } from '@retrap/arm-cpu'
import {
  CNTKCTL_EL1,
  CNTP_CTL_EL0,
  CNTV_CTL_EL0,
  defaultAffinity,
  ICC_AP0R0_EL1,
  ICC_AP1R0_EL1,
  ICC_IGRPEN0_EL1,
  ICC_IGRPEN1_EL1,
  ICC_PMR_EL1,
} from '@retrap/irqchip/gic'
import type { DeviceMonitor } from '@retrap/arm-mmio'
import type { Domain } from '../domain.ts'
import { HvmError } from '../errors.ts'
import type { VirtualCpu } from '../virtual-cpu.ts'
import { ArmDeviceAccess } from './device-access.ts'
import { ArmGuestTranslation } from './guest-translation.ts'
import type { BankedRegisters } from './interrupt-controller.ts'
import type { ArmParavirtual, ArmSurroundings } from './surroundings.ts'
import { ArmProcessor } from './processor.ts'
import { psciCall, PowerState } from './psci.ts'

/** HCR_EL2: RW, stage 2 on; SMC is trapped, keys are not. */
const HCR = (1n << 31n) | 1n | (1n << 19n) | (1n << 40n) | (1n << 41n)
/** CNTHCTL_EL2: EL1 has the physical counter and timer. */
const CNTHCTL = 3n
/** Bit 31 of MPIDR_EL1. */
const MPIDR_RES1 = 1n << 31n

/** Holds the saved state of an {@link ArmVcpu}. */
export interface ArmVcpuState {
  /** Version of this shape. */
  readonly version: 1
  /** The processor. */
  readonly cpu: SavedArmCpu
  /** Power state of the vCPU in PSCI's terms. */
  readonly power: PowerState
  /** Where the vCPU starts again after a wait without power, and X0 there, as `0x` and hexadecimal digits; null: it does not wait. */
  readonly restart: { readonly entry: string; readonly context: string } | null
  /** Whether WFE waits, according to the timers. */
  readonly waitsForEvent: boolean
  /** The mark of a load-exclusive from a device; null: none. */
  readonly monitor: DeviceMonitor | null
  /** Whether its turn goes on with its next run: its exclusive monitor does not open. Absent: it does not. */
  readonly isCut?: true | undefined
}

/** Registers of the timers and the interrupt controller's interface that are 0 after a reset of their processor. */
const RESET_OUTSIDE: readonly number[] = [
  CNTP_CTL_EL0,
  CNTV_CTL_EL0,
  CNTKCTL_EL1,
  ICC_PMR_EL1,
  ICC_AP0R0_EL1,
  ICC_AP1R0_EL1,
  ICC_IGRPEN0_EL1,
  ICC_IGRPEN1_EL1,
]

/** Registers before whose accesses levels are brought up to date. */
function watched(registers: BankedRegisters, world: ArmSurroundings): BankedRegisters {
  const { read, write } = registers
  return {
    ...registers,
    read(vcpu, offset, size) {
      world.paravirtual?.beforeInterruptAccess(vcpu)
      return read(vcpu, offset, size)
    },
    write(vcpu, offset, size, value) {
      world.paravirtual?.beforeInterruptAccess(vcpu)
      write(vcpu, offset, size, value)
    },
  }
}

/** One Arm vCPU of a domain: the processor, and its way to memory, devices and interrupt controller. */
export class ArmVcpu implements VirtualCpu, ArmHost {
  /** Number in the domain. */
  readonly id: number
  /** The processor, with the hypervisor behind its traps. */
  readonly cpu: ArmProcessor
  /** The processor itself. */
  readonly processor: ArmCpu
  /** Translates virtual addresses for debuggers and the hypervisor. */
  readonly translation: ArmGuestTranslation
  readonly #world: ArmSurroundings
  readonly #domain: Domain
  /** The vCPU's entry after a suspension without power. */
  #restart: { readonly entry: bigint; readonly context: bigint } | undefined
  /** Power state of the vCPU in PSCI's terms. */
  power: PowerState = PowerState.OFF
  /** Accesses to devices. */
  readonly counts = { portAccesses: 0, mmioAccesses: 0 }
  /** Number of hypercalls, counting each part of a continued one. */
  hypercalls = 0

  constructor(world: ArmSurroundings, id: number, engine: ArmEngine) {
    const { domain } = world
    this.id = id
    this.#world = world
    this.#domain = domain
    this.processor = new ArmCpu(engine, this, id)
    const { processor } = this
    this.translation = new ArmGuestTranslation(id, domain, processor.trapped.system)
    const access = new ArmDeviceAccess(id, domain, this.translation.tables, {
      stop: () => this.cpu.stop(),
      made: (gpa, size, write, lo, hi) => {
        this.counts.mmioAccesses++
        processor.reached(gpa, size, write, lo, hi)
      },
      banked: world.gic.banked.map((registers) => watched(registers, world)),
      isOpenBus: (gpa) => world.isOpenBus(gpa),
      authenticate: (key, pointerLo, pointerHi, into) =>
        processor.trapped.authenticate(key, pointerLo, pointerHi, into),
    })
    this.cpu = new ArmProcessor(processor, access, world.order, {
      call: (immediate, isHvc) => this.#call(immediate, isHvc),
      waitForEvent: (waits) => world.waitForEvent(id, waits),
      beginTurn: () => this.#wake(),
      mayGoOn: () => this.power === PowerState.ON && this.#restart === undefined && !domain.secondLevel.waits(id),
    })
  }

  // ---------------------------------------------------------------- the processor's host

  /** As `ArmHost.hasInterruptRegisters`. */
  get hasInterruptRegisters(): boolean {
    return this.#world.gic.systemRegisters !== null
  }

  /** Translates an address on a TLB miss. */
  translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
    return this.translation.translate(lo, hi, access, into)
  }

  /** Control registers of translation have changed. */
  controlChanged(): void {
    this.translation.controlChanged()
  }

  /** Reads a system register that the processor itself does not have. */
  readSystem(encoding: number, into: SystemValue): number {
    return this.#world.readSystem(this.id, encoding, into)
  }

  /** Writes one. */
  writeSystem(encoding: number, lo: number, hi: number): number {
    return this.#world.writeSystem(this.id, encoding, lo, hi)
  }

  // ---------------------------------------------------------------- calls

  #call(immediate: number, isHvc: boolean): void {
    const { registers } = this.processor
    const { paravirtual } = this.#world
    if (immediate === 0) psciCall(this.#world.psci(this.id), registers)
    else if (isHvc && immediate === paravirtual?.hypercallTag) this.#hypercall(paravirtual)
    // Other numbers have no service: return the calling convention's code for an unknown function.
    else registers.setX(0, 0xffff_ffff_ffff_ffffn)
  }

  /**
   * Makes a hypercall. Frames that it takes from the map count as this vCPU's doing: all device models let go of them
   * before its next instruction, which is HVC once more where the call has been cut in two.
   */
  #hypercall(paravirtual: ArmParavirtual): void {
    this.hypercalls++
    const { invalidations } = this.#domain
    const before = invalidations.enter(this.id)
    try {
      if (paravirtual.hypercall(this.id)) this.processor.registers.pc -= 4n
    } finally {
      invalidations.leave(before)
    }
  }

  /** Starts the vCPU at EL1. @param entry - guest-physical address of its first instruction @param context - X0 */
  start(entry: bigint, context: bigint): void {
    const { registers } = this.processor
    this.#reset()
    registers.pc = entry
    registers.setX(0, context)
    this.#setPower(PowerState.ON)
    this.#domain.wake()
  }

  /** Makes the vCPU wait for an interrupt, like WFI. */
  standBy(): void {
    this.processor.waitForInterrupt()
  }

  /** Suspends the vCPU until an interrupt, which starts it as {@link ArmVcpu.start} does. */
  suspend(entry: bigint, context: bigint): void {
    this.#restart = { entry, context }
    this.processor.waitForInterrupt()
  }

  /** Restarts the vCPU, if it was suspended without power and an interrupt is pending. */
  #wake(): void {
    const restart = this.#restart
    if (restart === undefined || this.dormant) return
    this.start(restart.entry, restart.context)
  }

  /** Stops the vCPU until it is started again. */
  stop(): void {
    this.#setPower(PowerState.OFF)
    this.cpu.stop()
  }

  #setPower(power: PowerState): void {
    this.power = power
    this.#world.powerChanged(this.id, power === PowerState.ON)
  }

  // ---------------------------------------------------------------- events

  /** The vCPU has nothing to do until something happens: off, or waiting for an interrupt, for an event or in a hypercall. */
  get dormant(): boolean {
    if (this.power !== PowerState.ON || this.processor.dormant) return true
    return this.#world.paravirtual?.blocks(this.id) === true
  }

  /** The interrupt controller has an interrupt for it, or no longer has. */
  setInterrupts(irq: boolean, fiq: boolean): void {
    this.processor.setIrq(irq)
    this.processor.setFiq(fiq)
    if (!irq && !fiq) return
    this.#world.paravirtual?.interrupted(this.id)
    this.#domain.wake()
  }

  /** Another processor has executed SEV, or the event stream has. */
  signalEvent(): void {
    this.processor.signalEvent()
    this.#domain.wake()
  }

  /** The vCPU has executed SEV. */
  eventSent(): void {
    this.#world.eventSent(this.id)
  }

  /** The vCPU has come back from a turn. */
  turnEnded(): void {}

  /** Drops cached translations after a change of the guest's map. */
  mapChanged(from?: number, to = 0): void {
    if (from === undefined) this.processor.flushTlb()
    else this.processor.frameMoved(from, to)
  }

  /** Drops its write translations of some machine frames. */
  watchWrites(frames: Uint32Array, count: number): void {
    this.processor.watchWrites(frames, count)
  }

  /** Drops the request in flight: its response will be discarded. */
  cancelRequest(): void {
    this.#domain.secondLevel.cancel(this.id)
    this.cpu.cancel()
  }

  /** EL1 as after a reset, under this hypervisor. */
  #reset(): void {
    const { registers } = this.processor
    this.#restart = undefined
    registers.reset()
    for (const encoding of RESET_OUTSIDE) this.#world.writeSystem(this.id, encoding, 0, 0)
    registers.set('hcr_el2', HCR)
    registers.set('cnthctl_el2', CNTHCTL)
    registers.set('vmpidr_el2', MPIDR_RES1 | BigInt(defaultAffinity(this.id)))
  }

  /** Returns the state between two instructions, by name. */
  save(): ArmVcpuState {
    const restart = this.#restart
    return {
      version: 1,
      cpu: this.processor.registers.save(),
      power: this.power,
      restart:
        restart === undefined
          ? null
          : { entry: `0x${restart.entry.toString(16)}`, context: `0x${restart.context.toString(16)}` },
      waitsForEvent: this.cpu.waitsForEvent,
      monitor: this.#world.order.saveMonitor(this.id),
      ...(this.processor.isCut && { isCut: true }),
    }
  }

  /**
   * Takes a saved state. Whether interrupts reach it is the interrupt controller's to know.
   *
   * @throws HvmError `ERR_STATE` for another version or shape; ArmCpuError `ERR_SAVED_STATE`
   */
  restore(state: ArmVcpuState): void {
    const wrong = (what: string): HvmError => new HvmError('ERR_STATE', `state of vCPU ${this.id}: ${what}`)
    if (state?.version !== 1) throw wrong(`version ${String(state?.version)}: expected 1`)
    const { power, restart, waitsForEvent, monitor } = state
    if (power !== PowerState.ON && power !== PowerState.OFF) throw wrong(`power ${String(power)}: expected 0 or 1`)
    const words = restart === null ? [] : [restart?.entry, restart?.context]
    const bad = words.find((word) => !/^0x[\da-f]{1,16}$/.test(word))
    if (bad !== undefined || words.some((word) => word === undefined))
      throw wrong(`restart ${String(bad)}: expected 0x and at most 16 hexadecimal digits`)
    this.processor.registers.restore(state.cpu)
    this.processor.isCut = state.isCut === true
    this.power = power
    this.#restart = restart === null ? undefined : { entry: BigInt(restart.entry), context: BigInt(restart.context) }
    this.cpu.waitsForEvent = waitsForEvent === true
    this.#world.order.restoreMonitor(this.id, monitor)
  }

  /** Resets at power-on: the first vCPU runs, the others wait to be started. */
  reset(): void {
    this.#reset()
    this.#setPower(this.id === 0 ? PowerState.ON : PowerState.OFF)
  }
}
