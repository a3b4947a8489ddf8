/**
 * Aborts that the guest takes itself.
 *
 * Source: Arm ARM (DDI 0487), "Synchronous exception types", "Exception vectors"; part G, "Data Abort exception",
 * "Prefetch Abort exception".
 */
import { type ArmPagingContext, ArmFormat, type ArmWalkResult, shortFaultStatus } from '@retrap/paging'
import { aarch32Register, type ArmVcpu, isAArch32, isUser, MODE_ABT, PSTATE_PAN, PSTATE_SS, PSTATE_T } from './vcpu.ts'
import { withEndianness } from './retire.ts'

const SCTLR_V = 1 << 13
const SCTLR_SPAN = 1 << 23
const SCTLR_EE = 1 << 25
const SCTLR_TE = 1 << 30
const TTBCR_EAE = 2 ** 31

/** External abort, not on a walk. */
const STATUS_EXTERNAL = 0x10
/** External abort on a walk, to which the level is added. */
const STATUS_TABLE = 0x14
const DFSR_WNR = 1 << 11
const DFSR_LPAE = 1 << 9

/** The kind of abort to inject. */
export interface InjectedAbort {
  readonly instruction: boolean
  readonly write: boolean
  /** Faulting address. */
  readonly lo: number
  readonly hi: number
  /** Fault status in the long format. */
  readonly status: number
  /** Fault status in the short format. */
  readonly shortStatus: number
}

/** Makes the guest take a synchronous external abort on the access at an address. */
export function injectExternalAbort(vcpu: ArmVcpu, lo: number, hi: number, access: 'read' | 'write' | 'fetch'): void {
  const instruction = access === 'fetch'
  const write = access === 'write'
  inject(vcpu, { instruction, write, lo, hi, status: STATUS_EXTERNAL, shortStatus: 0x08 })
}

/** Makes the guest take the fault that its own tables ask for. */
export function injectStage1Fault(
  vcpu: ArmVcpu,
  context: ArmPagingContext,
  result: ArmWalkResult,
  lo: number,
  hi: number,
  write: boolean,
): void {
  const short = context.format === ArmFormat.SHORT ? shortFaultStatus(result) : 0
  inject(vcpu, { instruction: false, write, lo, hi, status: result.status, shortStatus: short })
}

/**
 * Makes the guest take an external abort on the walk of its tables.
 *
 * @param level - level of the table that is in no memory
 */
export function injectTableAbort(
  vcpu: ArmVcpu,
  level: number,
  lo: number,
  hi: number,
  write: boolean,
  instruction: boolean,
): void {
  inject(vcpu, {
    instruction,
    write,
    lo,
    hi,
    status: STATUS_TABLE + level,
    shortStatus: level === 2 ? 0x0e : 0x0c,
  })
}

/** Makes the guest take an alignment fault. */
export function injectAlignmentFault(vcpu: ArmVcpu, lo: number, hi: number, write: boolean): void {
  inject(vcpu, { instruction: false, write, lo, hi, status: 0x21, shortStatus: 0x01 })
}

function inject(vcpu: ArmVcpu, abort: InjectedAbort): void {
  if (vcpu.system.aarch64) inject64(vcpu, abort)
  else inject32(vcpu, abort)
}

function inject64(vcpu: ArmVcpu, abort: InjectedAbort): void {
  const { exception, system } = vcpu
  const lower = isUser(vcpu)
  const exceptionClass = (abort.instruction ? 0x20 : 0x24) + (lower ? 0 : 1)
  exception.esrEl1 =
    (exceptionClass * 2 ** 26 + (1 << 25) + (abort.write && !abort.instruction ? 1 << 6 : 0) + abort.status) >>> 0
  exception.farLo = abort.lo >>> 0
  exception.farHi = abort.hi >>> 0
  exception.elrLo = vcpu.pc[0]!
  exception.elrHi = vcpu.pc[1]!
  exception.spsrEl1 = vcpu.pstate >>> 0
  const offset = lower ? (isAArch32(vcpu) ? 0x600 : 0x400) : (vcpu.pstate & 1) === 0 ? 0 : 0x200
  // EL1h, all interrupts masked; condition flags and DIT stay.
  let pstate = (vcpu.pstate & 0xf100_0000) | 0x3c5
  if ((vcpu.pstate & PSTATE_PAN) !== 0 || (system.sctlr & SCTLR_SPAN) === 0) pstate |= PSTATE_PAN
  vcpu.pstate = (pstate & ~PSTATE_SS) >>> 0
  const vector = (system.vbarLo >>> 0) + offset
  vcpu.pc[0] = vector
  vcpu.pc[1] = system.vbarHi + (vector > 0xffff_ffff ? 1 : 0)
}

function inject32(vcpu: ArmVcpu, abort: InjectedAbort): void {
  const { exception, system } = vcpu
  const long = system.tcrLo >>> 0 >= TTBCR_EAE
  const short = abort.shortStatus
  // FS[4] is bit 10.
  const status = long ? DFSR_LPAE | abort.status : (short & 15) | ((short & 0x10) << 6)
  if (abort.instruction) {
    exception.ifsr = status
    exception.ifar = abort.lo >>> 0
  } else {
    exception.dfsr = status | (abort.write ? DFSR_WNR : 0)
    exception.farLo = abort.lo >>> 0
    exception.farHi = 0
  }
  const link = aarch32Register(MODE_ABT, 14) * 2
  vcpu.x[link] = vcpu.pc[0]! + (abort.instruction ? 4 : 8)
  vcpu.x[link + 1] = 0
  vcpu.spsr[1] = vcpu.pstate
  // Abort mode, A and I masked, F unchanged, no IT block.
  let pstate = (vcpu.pstate & 0xf80f_0040) | 0x190 | MODE_ABT
  if ((vcpu.pstate & PSTATE_PAN) !== 0 || (system.sctlr & SCTLR_SPAN) === 0) pstate |= PSTATE_PAN
  if ((system.sctlr & SCTLR_TE) !== 0) pstate |= PSTATE_T
  vcpu.pstate = withEndianness(pstate, (system.sctlr & SCTLR_EE) !== 0)
  const base = (system.sctlr & SCTLR_V) !== 0 ? 0xffff_0000 : system.vbarLo
  vcpu.pc[0] = base + (abort.instruction ? 0x0c : 0x10)
}
