/** Executes a decoded load or store: its accesses in order, then all register updates at once. */
import type { ArmAbort } from './abort.ts'
import { Row } from './access-path.ts'
import { effectiveAddress } from './effective-address.ts'
import { storeExclusive, atomic, compareAndSwap } from './execute-atomic.ts'
import { prepareCopy, copyPart } from './execute-copy.ts'
import { load, store, tableBranch, zero, transfer64, tagsAndMaintenance } from './execute-plain.ts'
import { ExecutionPass, type ExecutionParts } from './execution-pass.ts'
import type { Extent } from './explain.ts'
import type { LoadStore } from '@retrap/arm-decoder'
import { type AccessStatus, STATUS_DONE } from '@retrap/replay'
import { readX, readR, writeR } from './registers.ts'
import { isUser, isBigEndian } from './vcpu.ts'
import { returnTo, savedState } from './retire.ts'
import { getWord, putValue } from './transfer.ts'

/** Operations that this package recognises and cannot carry out. */
const UNSUPPORTED = new Set(['scalable', 'other'])

/** Executes one vCPU's instructions. */
export class Execution {
  readonly #pass: ExecutionPass

  constructor(parts: ExecutionParts) {
    this.#pass = new ExecutionPass(parts)
  }

  /** The access made last was a write. */
  get writing(): boolean {
    return this.#pass.writing
  }

  /** Whether the instruction can be carried out. */
  supports(insn: LoadStore): boolean {
    const { operation, attributes } = insn.form
    if (UNSUPPORTED.has(operation)) return false
    return !attributes.has('pac') || this.#pass.world.authenticate !== undefined
  }

  /**
   * Whether the instruction can have aborted at this level of privilege. RFE, SRS and loads that return from an exception
   * do not reach memory in User mode: code that was swapped in after the trap must not gain a mode by them.
   */
  isPermitted(insn: LoadStore): boolean {
    const { operation, attributes } = insn.form
    const returns = operation === 'return' || operation === 'save' || attributes.has('return')
    return !returns || !isUser(this.#pass.vcpu)
  }

  /** Computes the instruction's address range. */
  prepare(insn: LoadStore): Extent {
    const extent = this.#pass.extent
    const address = this.#pass.address
    const { operation } = insn.form
    if (operation === 'copy' || operation === 'copy-forward' || operation === 'fill') {
      prepareCopy(this.#pass, insn)
      return extent
    }
    if (insn.form.attributes.has('pac')) this.#preparePac(insn)
    else if (operation === 'save') stackAddress(this.#pass, insn)
    else effectiveAddress(this.#pass.vcpu, insn, address)
    extent.lo = address.lo
    extent.hi = address.hi
    extent.bytes = insn.elementSize * insn.elements
    if (operation === 'zero' || operation === 'tag-store') {
      extent.bytes = insn.form.attributes.has('block') ? this.#pass.zeroBlockBytes : insn.form.size
      if (insn.form.attributes.has('block')) extent.lo = (extent.lo & ~(this.#pass.zeroBlockBytes - 1)) >>> 0
    }
    if (operation === 'tag-load' || operation === 'tags') extent.bytes = 2048
    extent.otherLo = extent.lo
    extent.otherHi = extent.hi
    return extent
  }

  /** The base is authenticated before the offset is added. */
  #preparePac(insn: LoadStore): void {
    const value = this.#pass.value
    readX(this.#pass.vcpu, insn.rn, true, value)
    const key = insn.form.mnemonic === 'LDRAB' ? 1 : 0
    this.#pass.authentic = this.#pass.world.authenticate?.(key, value.lo, value.hi, this.#pass.words) ?? false
    const address = this.#pass.address
    const [lo = 0, hi = 0] = this.#pass.words
    const sum = lo + (insn.offset >>> 0)
    address.lo = sum >>> 0
    address.hi = (hi + (insn.offset < 0 ? -1 : 0) + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
    address.writeback = insn.addressing !== 0
    address.baseLo = address.lo
    address.baseHi = address.hi
  }

  /**
   * Executes one pass. At `DONE` the instruction has retired; otherwise only the log has changed.
   *
   * @param abort - must be explained by the instruction
   */
  run(insn: LoadStore, abort: ArmAbort): AccessStatus {
    return (OPERATIONS[insn.form.operation] ?? tagsAndMaintenance)(this.#pass, insn, abort)
  }
}

const OPERATIONS: {
  readonly [Name in LoadStore['form']['operation']]?: (
    pass: ExecutionPass,
    insn: LoadStore,
    abort: ArmAbort,
  ) => AccessStatus
} = {
  load,
  'load-exclusive': load,
  store,
  'store-exclusive': storeExclusive,
  atomic,
  'compare-and-swap': compareAndSwap,
  'table-branch': tableBranch,
  zero,
  'load-64b': transfer64,
  'store-64b': transfer64,
  copy: copyPart,
  'copy-forward': copyPart,
  fill: copyPart,
  return: returnFromException,
  save: saveState,
}

export function returnFromException(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  let step = pass.translate(insn, abort, false, lo, hi, 8)
  if (step !== STATUS_DONE) return step
  step = pass.path.transfer(Row.LOAD, lo, hi, 4, 2)
  if (step !== STATUS_DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  pass.writeback(insn)
  const { data } = pass.path
  returnTo(pass.vcpu, getWord(data, 0, 4, 0, bigEndian), getWord(data, 4, 4, 0, bigEndian))
  return STATUS_DONE
}

/** SRS: LR and SPSR of this mode, to the stack of another. */
export function saveState(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const vcpu = pass.vcpu
  const path = pass.path
  const { lo, hi } = pass.address
  let step = pass.translate(insn, abort, true, lo, hi, 8)
  if (step !== STATUS_DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  putValue(path.data, 0, 4, readR(vcpu, insn.set, 14), 0, bigEndian)
  putValue(path.data, 4, 4, savedState(vcpu), 0, bigEndian)
  step = path.transfer(Row.STORE, lo, hi, 4, 2)
  if (step !== STATUS_DONE) return step
  pass.flush()
  const { writeback, baseLo } = pass.address
  if (writeback) {
    const mode = vcpu.pstate
    vcpu.pstate = (mode & ~15) | (insn.list & 15)
    writeR(vcpu, 13, baseLo)
    vcpu.pstate = mode
  }
  return pass.retired(insn)
}

/** The address of SRS is from the stack pointer of the mode that it names. */
export function stackAddress(pass: ExecutionPass, insn: LoadStore): void {
  const vcpu = pass.vcpu
  const mode = vcpu.pstate
  vcpu.pstate = (mode & ~15) | (insn.list & 15)
  effectiveAddress(vcpu, insn, pass.address)
  vcpu.pstate = mode
}
