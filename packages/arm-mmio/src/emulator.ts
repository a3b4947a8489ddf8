/** Finishes data aborts: from a syndrome to device accesses and back to registers. */
import { describeArgument } from '@retrap/basics'
import { ARM_FETCH, ARM_UNPRIVILEGED, ARM_WALK_FAULT, ARM_WALK_OK, ARM_WALK_TABLE, walkArm } from '@retrap/paging'
import { type ArmAbort, faultIpa, hpfarValid } from './abort.ts'
import { AccessPath } from './access-path.ts'
import { requireObject, ArmMmioError } from './checks.ts'
import { type ArmEmulatorOptions, checkOptions } from './emulator-options.ts'
import { Execution } from './execution.ts'
import { InstructionFetch } from './fetch.ts'
import { explains } from './explain.ts'
import { injectAlignmentFault, injectExternalAbort, injectStage1Fault, injectTableAbort } from './inject.ts'
import { LoadStore } from '@retrap/arm-decoder'
import {
  AccessKind,
  AccessLog,
  type SavedLog,
  type AccessStatus,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RETRY,
  STATUS_RESTART,
  STATUS_UNHANDLED,
} from '@retrap/replay'
import { retire } from './retire.ts'
import { type DeviceOrder, LOCKS } from './serialise.ts'
import {
  EC_DATA_ABORT_LOWER,
  EC_INSTRUCTION_ABORT_LOWER,
  ESR_FSC,
  ESR_S1PTW,
  ESR_CM,
  ESR_VNCR,
  ESR_WNR,
  faultKind,
} from './syndrome.ts'
import { isWholeAccess, makeSyndromeAccess } from './syndrome-access.ts'
import { type ArmVcpu, isAArch32, isUser } from './vcpu.ts'
import { type ArmWorld, Region } from './world.ts'

/** The reason why an abort was not handled. */
export type UnhandledReason =
  | ''
  /** Not a data or instruction abort from a lower exception level. */
  | 'exception-class'
  /** An external abort, a parity error, an alignment fault, or another fault that no access explains. */
  | 'fault-status'
  /** The instruction is no load or store, or one that cannot be emulated: `instruction` says which. */
  | 'instruction'

/** State between trap and completion. */
export interface SavedAbort {
  /** Version of the layout. */
  readonly version: 1
  /** The abort in progress. */
  readonly abort: ArmAbort
  /** The syndrome describes the access: nothing is decoded. */
  readonly direct: boolean
  /** The lock of the order that is held, or -1. */
  readonly lock: number
  /** The accesses so far. */
  readonly log: SavedLog
}

/**
 * Finishes the aborts of one vCPU, one at a time.
 *
 * Between STATUS_RETRY and the end, the vCPU's registers are as they were at the trap: only the log and the devices' states
 * have changed. `cancel` forgets the instruction, `save` and `restore` carry it elsewhere.
 */
export class ArmEmulator {
  /** The accesses of the present instruction. */
  readonly log: AccessLog
  /** The reason for the last abort's STATUS_UNHANDLED. */
  reason: UnhandledReason
  /** The instruction decoded last. The fields are valid only after an outcome that decoded. */
  readonly instruction: LoadStore
  readonly #vcpu: ArmVcpu
  readonly #world: ArmWorld
  readonly #path: AccessPath
  readonly #fetch: InstructionFetch
  readonly #execution: Execution
  readonly #alwaysDecode: boolean
  readonly #wholeSyndromes: boolean
  readonly #inject: boolean
  #active: boolean
  #direct: boolean
  #abort: ArmAbort

  /**
   * @param order - shared by all vCPUs of a domain
   * @throws ArmMmioError `ERR_OPTION`
   */
  constructor(vcpu: ArmVcpu, world: ArmWorld, order: DeviceOrder, options: ArmEmulatorOptions = {}) {
    checkOptions(vcpu, world, order, options)
    const { zeroBlockBytes = 64, undecodable = 'inject', copyOption = 'A' } = options
    this.log = options.log ?? new AccessLog()
    this.reason = ''
    this.instruction = new LoadStore()
    this.#vcpu = vcpu
    this.#world = world
    this.#path = new AccessPath(this.log, world, order, vcpu.id)
    this.#fetch = new InstructionFetch(vcpu, world, this.log, this.#path, options.stopWorld ?? false)
    this.#execution = new Execution({
      vcpu,
      world,
      order,
      log: this.log,
      path: this.#path,
      zeroBlockBytes,
      copyOption,
    })
    this.#alwaysDecode = options.alwaysDecode ?? false
    this.#wholeSyndromes = options.wholeSyndromes ?? false
    this.#inject = undecodable === 'inject'
    this.#active = false
    this.#direct = false
    this.#abort = { esr: 0, hsr: false, farLo: 0, farHi: 0, hpfarLo: 0, hpfarHi: 0 }
  }

  /** Whether an instruction is in the middle. */
  get active(): boolean {
    return this.#active
  }

  /** The abort whose instruction is in progress; null: none. */
  get abort(): ArmAbort | null {
    return this.#active ? this.#abort : null
  }

  /**
   * Handles an abort that the vCPU has just taken.
   *
   * @param abort - the reported abort; kept until the instruction ends
   * @throws ArmMmioError `ERR_STATE` if another instruction is in the middle
   */
  handle(abort: ArmAbort): AccessStatus {
    if (this.#active) throw new ArmMmioError('ERR_STATE', 'an abort while another one of this vCPU is pending')
    requireObject(abort, 'an abort', 'ERR_SYNDROME')
    const { esr } = abort
    const exceptionClass = esr >>> 26
    if (exceptionClass === EC_INSTRUCTION_ABORT_LOWER) return this.#instructionAbort(abort)
    if (exceptionClass !== EC_DATA_ABORT_LOWER || (esr & ESR_VNCR) !== 0) return this.#unhandled('exception-class')
    const kind = faultKind(esr & ESR_FSC)
    if (kind === 'external' || kind === 'alignment' || kind === 'other') return this.#unhandled('fault-status')
    if ((esr & ESR_S1PTW) !== 0) return this.#tableAbort(abort, false)
    this.#abort = abort
    if (hpfarValid(esr)) {
      const region = this.#faultRegion(abort)
      // The address is mapped by now: the processor repeats the access.
      if (region === Region.RAM) return STATUS_RESTART
      if ((esr & ESR_CM) !== 0) return this.#maintenance()
      if (region === Region.NONE) return this.#external(abort.farLo, abort.farHi, (esr & ESR_WNR) !== 0)
    }
    this.#active = true
    // The syndrome alone suffices only if the address is known without a walk.
    this.#direct = !this.#alwaysDecode && hpfarValid(esr) && isWholeAccess(abort, this.#wholeSyndromes)
    this.log.begin()
    return this.#pass()
  }

  /**
   * A device's answer to the access that waits.
   *
   * @param failed - it is an external abort; otherwise a read's data has been put into `log` at `log.pending`
   * @throws ArmMmioError `ERR_STATE` if no access waits
   */
  answer(failed: boolean = false): void {
    const { pending } = this.log
    if (!this.#active || pending < 0) throw new ArmMmioError('ERR_STATE', 'an answer that nothing waits for')
    if (failed) {
      this.#path.failed = pending
      this.log.complete(pending)
    } else this.#path.answered(pending)
  }

  /**
   * Resumes after STATUS_RETRY, when a response has arrived, or later if none is awaited; otherwise returns STATUS_RETRY.
   *
   * @throws ArmMmioError `ERR_STATE` if no instruction is in the middle
   */
  resume(): AccessStatus {
    if (!this.#active) throw new ArmMmioError('ERR_STATE', 'resume without an instruction in the middle')
    if (this.log.pending >= 0) return STATUS_RETRY
    this.log.restart()
    return this.#pass()
  }

  /**
   * Drops the instruction at a reset, or for a new context of the vCPU.
   *
   * @returns whether a device has yet to answer, which the caller drains and drops
   */
  cancel(): boolean {
    const owed = this.#active && this.log.pending >= 0
    this.#end(true)
    return owed
  }

  /**
   * The instruction in the middle, as plain data.
   *
   * @throws ArmMmioError `ERR_STATE` if no instruction is in progress
   */
  save(): SavedAbort {
    if (!this.#active) throw new ArmMmioError('ERR_STATE', 'no instruction is in the middle')
    const { esr, hsr, farLo, farHi, hpfarLo, hpfarHi } = this.#abort
    return {
      version: 1,
      abort: { esr, hsr, farLo, farHi, hpfarLo, hpfarHi },
      direct: this.#direct,
      lock: this.#path.heldLock,
      log: this.log.save(),
    }
  }

  /**
   * Takes a saved instruction up again, on a vCPU with the registers it had. Then come `answer` and `resume`.
   *
   * @throws ArmMmioError `ERR_STATE` if an instruction is in progress; `ERR_SAVED` for data of another version, or if
   * another vCPU holds the instruction's lock
   */
  restore(saved: SavedAbort): void {
    if (this.#active) throw new ArmMmioError('ERR_STATE', 'an instruction is in the middle')
    requireObject(saved, 'a saved abort', 'ERR_SAVED')
    if (saved.version !== 1)
      throw new ArmMmioError('ERR_SAVED', `version ${describeArgument(saved.version)}; this is version 1`)
    if (!Number.isInteger(saved.lock) || saved.lock < -1 || saved.lock >= LOCKS) {
      throw new ArmMmioError('ERR_SAVED', `lock is ${describeArgument(saved.lock)}, expected -1 to ${LOCKS - 1}`)
    }
    this.log.restore(saved.log)
    if (!this.#path.restoreLock(saved.lock)) {
      this.log.cancel()
      throw new ArmMmioError('ERR_SAVED', `lock ${saved.lock} is held by another vCPU`)
    }
    this.#abort = saved.abort
    this.#direct = saved.direct
    this.#active = true
  }

  #unhandled(reason: UnhandledReason): AccessStatus {
    this.reason = reason
    return STATUS_UNHANDLED
  }

  /** Cache maintenance has no effect outside RAM. */
  #maintenance(): AccessStatus {
    retire(this.#vcpu, 4)
    return STATUS_DONE
  }

  /** The guest's tables are on a device: the walk gets an external abort. */
  #tableAbort(abort: ArmAbort, instruction: boolean): AccessStatus {
    const { farLo, farHi, esr } = abort
    if (this.#faultRegion(abort) === Region.RAM) return STATUS_RESTART
    // The syndrome has the level of the second stage. Which table it was, the guest's registers say.
    const { context, walk } = this.#path
    context.update(this.#vcpu.system)
    const access = (instruction ? ARM_FETCH : 0) | (isUser(this.#vcpu) ? ARM_UNPRIVILEGED : 0)
    const found = walkArm(context, this.#world.tables, farLo, farHi, access, walk)
    const level = found === ARM_WALK_TABLE ? walk.level : esr & 3
    injectTableAbort(this.#vcpu, level, farLo, farHi, (esr & ESR_WNR) !== 0, instruction)
    return STATUS_FAULT
  }

  #faultRegion(abort: ArmAbort): Region {
    const ipa = faultIpa(abort)
    const write = (abort.esr & ESR_WNR) !== 0 && (abort.esr & ESR_S1PTW) === 0
    return this.#world.region(ipa >>> 0, Math.floor(ipa / 2 ** 32), write)
  }

  /** Instructions come from RAM alone. */
  #instructionAbort(abort: ArmAbort): AccessStatus {
    if ((abort.esr & ESR_S1PTW) !== 0) return this.#tableAbort(abort, true)
    if (hpfarValid(abort.esr) && this.#faultRegion(abort) === Region.RAM) return STATUS_RESTART
    injectExternalAbort(this.#vcpu, abort.farLo, abort.farHi, 'fetch')
    return STATUS_FAULT
  }

  #external(lo: number, hi: number, write: boolean): AccessStatus {
    injectExternalAbort(this.#vcpu, lo, hi, write ? 'write' : 'read')
    return STATUS_FAULT
  }

  /** The instruction has ended; `abandoned`: not by retiring. */
  #end(abandoned: boolean): void {
    this.#path.release()
    if (abandoned) this.log.cancel()
    else this.log.end()
    this.#active = false
  }

  #pass(): AccessStatus {
    this.#path.begin(isAArch32(this.#vcpu))
    return this.#direct ? this.#directPass() : this.#decodedPass()
  }

  /** The syndrome describes the access: nothing is decoded. */
  #directPass(): AccessStatus {
    const { esr, farLo, farHi } = this.#abort
    const step = makeSyndromeAccess(this.#vcpu, this.#path, this.#abort)
    if (step !== STATUS_DONE) return this.#stopped(step, farLo, farHi, (esr & ESR_WNR) !== 0)
    this.#end(false)
    return STATUS_DONE
  }

  /** The instruction provides details that the syndrome lacks. */
  #decodedPass(): AccessStatus {
    const insn = this.instruction
    const path = this.#path
    path.context.update(this.#vcpu.system)
    const fetched = this.#fetch.fetch(insn)
    if (fetched === STATUS_RESTART) return this.#retry()
    if (fetched !== STATUS_DONE) return this.#undecodable()
    if (!this.#execution.supports(insn)) return this.#undecodable()
    if (!this.#execution.isPermitted(insn)) return this.#retry()
    // The instruction fetch is checked with its own access rights.
    path.begin(isAArch32(this.#vcpu))
    const first = this.log.pass === 1
    const explained = explains(this.#vcpu, insn, this.#abort, this.#execution.prepare(insn))
    if (!explained && first) return this.#retry()
    const step = this.#execution.run(insn, this.#abort)
    if (step === STATUS_DONE) {
      this.#end(false)
      return STATUS_DONE
    }
    return this.#stopped(step, path.faultLo, path.faultHi, this.#execution.writing)
  }

  #retry(): AccessStatus {
    this.#end(true)
    return STATUS_RESTART
  }

  #undecodable(): AccessStatus {
    this.#end(true)
    if (!this.#inject) return this.#unhandled('instruction')
    const { farLo, farHi, esr } = this.#abort
    return this.#external(farLo, farHi, (esr & ESR_WNR) !== 0)
  }

  /** A pass that did not get to its end. */
  #stopped(step: AccessStatus, lo: number, hi: number, write: boolean): AccessStatus {
    // The first access's address is held by another access: nothing has happened, and the guest may take its interrupts.
    if (step === STATUS_RETRY && (this.log.pending >= 0 || this.#deviceAsked())) return step
    if (step === STATUS_RETRY || step === STATUS_RESTART) return this.#retry()
    this.#end(true)
    const { walk, walked, context } = this.#path
    if (step === STATUS_UNHANDLED) injectExternalAbort(this.#vcpu, lo, hi, write ? 'write' : 'read')
    else if (walked === ARM_WALK_OK) injectAlignmentFault(this.#vcpu, lo, hi, write)
    else if (walked === ARM_WALK_FAULT) injectStage1Fault(this.#vcpu, context, walk, lo, hi, write)
    else injectTableAbort(this.#vcpu, walk.level, lo, hi, write, false)
    return STATUS_FAULT
  }

  #deviceAsked(): boolean {
    for (let index = 0; index < this.log.count; index++) {
      if (this.log.kind(index) >= AccessKind.MMIO_READ && this.log.state(index) === STATUS_DONE) return true
    }
    return false
  }
}
