import {
  type AccessStatus,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RETRY,
  STATUS_RESTART,
  STATUS_UNHANDLED,
} from '@retrap/replay'
import { ArmEmulator, describeSyndrome, faultIpa, hpfarValid } from '@retrap/arm-mmio'
import type { ArmAbort, DescribedSyndrome, DeviceOrder } from '@retrap/arm-mmio'
import type { ArmCpu, StoreWatch } from '@retrap/arm-cpu'
import type { CpuExit, VirtualProcessor } from '../virtual-cpu.ts'
import type { ArmDeviceAccess } from './device-access.ts'

/** Exception classes of traps to the hypervisor. */
const EC_HVC = 0x16
const EC_SMC = 0x17
const EC_INSTRUCTION_ABORT = 0x20
const EC_DATA_ABORT = 0x24

/** ESR_ELx of an undefined instruction. */
const UNDEFINED = 0x0200_0000

/** ISV of a data abort, and the fields that it says are valid. */
const ESR_ACCESS = 0x01ff_c000

/** Cost of an exception, in instructions, which take about as long. */
const TRAP_COST = 64

const BLOCKED: CpuExit = { reason: 'blocked' }
const YIELD: CpuExit = { reason: 'yield' }
const BUDGET: CpuExit = { reason: 'budget' }
const PAUSE: CpuExit = { reason: 'pause' }

/** The part of a vCPU that its processor's traps need. */
export interface ArmTraps {
  /** The processor is about to run. */
  beginTurn(): void
  /** HVC or, where `isHvc` is false, SMC: with the number in the instruction. The program counter is behind it. */
  call(immediate: number, isHvc: boolean): void
  /** WFE begins, or ceases, to wait for an event. */
  waitForEvent(waits: boolean): void
  /** Whether the vCPU may continue at once: no call has stopped it, and no access of it waits for memory. */
  mayGoOn(): boolean
}

/** A data abort that a vCPU's instruction has taken, for people. */
export interface DescribedAbort extends DescribedSyndrome {
  /** The syndrome, 32 bits. */
  readonly syndrome: number
  /** Name of the syndrome register. */
  readonly register: 'ESR_EL2' | 'HSR'
  /** Virtual address of the access, from FAR_EL2. */
  readonly address: bigint
  /** Guest-physical address, from HPFAR_EL2 and FAR_EL2; null where the syndrome says that HPFAR_EL2 has none. */
  readonly gpa: number | null
}

/** A processor and the hypervisor behind its traps: accesses to devices are finished, and calls are answered. */
export class ArmProcessor implements VirtualProcessor {
  readonly #cpu: ArmCpu
  readonly #access: ArmDeviceAccess
  readonly #traps: ArmTraps
  readonly #emulator: ArmEmulator
  readonly #order: DeviceOrder
  #stopped = false
  /** The last stop ends the turn. */
  #turnIsOver = false
  /** WFE waits. */
  #waits = false
  /** The run ends behind one instruction. */
  #isStep = false
  /** Instructions that the hypervisor has finished. */
  #finished = 0
  /** Exceptions to it. */
  #trapped = 0

  constructor(cpu: ArmCpu, access: ArmDeviceAccess, order: DeviceOrder, traps: ArmTraps) {
    this.#cpu = cpu
    this.#access = access
    this.#traps = traps
    this.#order = order
    this.#emulator = new ArmEmulator(cpu.trapped, access, order, { wholeSyndromes: true })
  }

  get retired(): number {
    return this.#cpu.retired + this.#finished
  }
  set retired(instructions: number) {
    this.#finished = instructions - this.#cpu.retired
  }

  goOn(): void {
    this.#cpu.goOn()
  }

  get turnMayEnd(): boolean {
    return this.#cpu.turnMayEnd
  }
  set turnMayEnd(mayEnd: boolean) {
    this.#cpu.turnMayEnd = mayEnd
  }

  get laterBudget(): number {
    return this.#cpu.laterBudget
  }
  set laterBudget(instructions: number) {
    this.#cpu.laterBudget = instructions
  }

  get cost(): number {
    return this.#cpu.cost + this.#finished + this.#trapped * TRAP_COST
  }

  /** Instructions have no iterations that count. */
  readonly repeats = false
  /** Exceptions store nothing. */
  readonly delivers = false

  get counts(): ArmCpu['counts'] {
    return this.#cpu.counts
  }

  get nextAddress(): bigint {
    return this.#cpu.nextAddress
  }

  watchStores(watch: StoreWatch | null): void {
    this.#cpu.watchStores(watch)
  }

  get busy(): boolean {
    return this.#emulator.active
  }

  /** The accesses of the instruction that waits for a device. */
  get log(): ArmEmulator['log'] {
    return this.#emulator.log
  }

  /** The abort of the instruction that waits for a device, for people; null: none waits. */
  describeAbort(): DescribedAbort | null {
    const { abort } = this.#emulator
    if (abort === null) return null
    const { esr, hsr, farLo, farHi } = abort
    return {
      syndrome: esr >>> 0,
      register: hsr ? 'HSR' : 'ESR_EL2',
      ...describeSyndrome(esr, hsr ? 'hsr' : 'esr'),
      address: (BigInt(farHi >>> 0) << 32n) | BigInt(farLo >>> 0),
      gpa: hpfarValid(esr) ? faultIpa(abort) : null,
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cpu.stop()
  }

  /** Ends the turn with the present instruction. After a stop alone, which may be for a device model's sake, it goes on. */
  endTurn(): void {
    this.#turnIsOver = true
    this.stop()
  }

  step(): CpuExit {
    this.#isStep = true
    const exit = this.run(1)
    this.#isStep = false
    return exit
  }

  run(budget: number, mostCalls: number = Infinity): CpuExit {
    // The instruction that has waited is part of the turn.
    const end = this.cost + budget
    const wasBusy = this.busy
    const unsettled = this.settle()
    if (unsettled !== undefined) return unsettled
    if (this.#isStep && wasBusy && end + this.laterBudget > this.cost) return BUDGET
    this.#traps.beginTurn()
    this.#stopped = false
    this.#turnIsOver = false
    this.#waitForEvent(false)
    for (let calls = 0; calls < mostCalls; calls++) {
      const exit = this.#isStep ? this.#cpu.step() : this.#cpu.run(end - this.cost)
      if (exit.reason === 'wait') this.#waitForEvent(exit.until === 'event')
      if (exit.reason !== 'exception' && exit.reason !== 'budget') return exit
      if (exit.reason === 'exception') {
        this.#trapped++
        // The description of an access that begins on another page is not the access to be made here.
        const syndrome = exit.beyond === true ? (exit.syndrome & ~ESR_ACCESS) >>> 0 : exit.syndrome
        const outcome = this.#trap(syndrome, exit.address, exit.hpfar ?? 0n)
        if (outcome !== undefined) return outcome
        if (!this.#traps.mayGoOn()) return BLOCKED
      }
      if (this.#stopped || this.#isStep || this.cost >= end) return this.#turnIsOver ? PAUSE : BUDGET
    }
    return YIELD
  }

  /** Whether WFE waits, according to the timers. */
  get waitsForEvent(): boolean {
    return this.#waits
  }
  set waitsForEvent(waits: boolean) {
    this.#waits = waits
  }

  #waitForEvent(waits: boolean): void {
    if (waits === this.#waits) return
    this.#waits = waits
    this.#traps.waitForEvent(waits)
  }

  /** Does what an exception to EL2 asks for. @returns why the processor cannot go on at once */
  #trap(syndrome: number, address: bigint, hpfar: bigint): CpuExit | undefined {
    const cpu = this.#cpu
    switch (syndrome >>> 26) {
      case EC_HVC:
        this.#traps.call(syndrome & 0xffff, true)
        return undefined
      case EC_SMC:
        // The instruction has not retired.
        cpu.advance()
        this.#traps.call(syndrome & 0xffff, false)
        return undefined
      case EC_DATA_ABORT:
      case EC_INSTRUCTION_ABORT:
        return this.#abort({
          esr: syndrome,
          hsr: false,
          farLo: Number(address & 0xffff_ffffn),
          farHi: Number(address >> 32n),
          hpfarLo: Number(hpfar & 0xffff_ffffn),
          hpfarHi: Number(hpfar >> 32n),
        })
      default:
        cpu.inject(UNDEFINED)
        return undefined
    }
  }

  #abort(abort: ArmAbort): CpuExit | undefined {
    // The access needs memory that another party has to provide first.
    if (!this.#traps.mayGoOn()) return BLOCKED
    const { trapped } = this.#cpu
    // CLREX or ERET may have opened the monitor, of which the order of devices' accesses does not hear.
    if (!trapped.marksElsewhere) this.#order.clearMonitor(trapped.id)
    trapped.begin()
    const outcome = this.#emulator.handle(abort)
    return this.#after(outcome)
  }

  #after(outcome: AccessStatus): CpuExit | undefined {
    switch (outcome) {
      case STATUS_DONE:
        this.#finished++
        this.#cpu.trapped.marksElsewhere = this.#order.isMarked(this.#cpu.trapped.id)
        this.#cpu.trapped.end()
        this.#cpu.finished()
        return undefined
      case STATUS_FAULT:
        this.#cpu.trapped.end()
        this.#cpu.finished(false)
        return undefined
      case STATUS_RESTART:
        return undefined
      case STATUS_RETRY:
        // Without a device that will answer, another vCPU's access holds the address.
        return this.#emulator.log.pending >= 0 ? BLOCKED : YIELD
      default:
        this.#cpu.inject(UNDEFINED)
        return undefined
    }
  }

  settle(): CpuExit | undefined {
    const emulator = this.#emulator
    while (emulator.active) {
      if (emulator.log.pending >= 0) {
        const answer = this.#access.takeAnswer(emulator.log)
        if (answer === STATUS_RETRY) return BLOCKED
        emulator.answer(answer === STATUS_UNHANDLED)
      }
      const exit = this.#after(emulator.resume())
      if (exit !== undefined) return exit
    }
    return undefined
  }

  /** Drops the instruction in progress. */
  cancel(): void {
    this.#access.cancel()
    if (this.#emulator.active) this.#emulator.cancel()
  }
}
