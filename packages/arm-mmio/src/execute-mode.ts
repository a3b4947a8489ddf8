/** AArch32 instructions that move the state of a mode: RFE and SRS. */
import type { ArmAbort } from './abort.ts'
import { Row, Step } from './access-path.ts'
import { effectiveAddress } from './effective-address.ts'
import type { ExecutionPass } from './execution-pass.ts'
import type { LoadStore } from '@retrap/arm-decoder'
import { readR, writeR } from './registers.ts'
import { retire, returnTo, savedState } from './retire.ts'
import { getWord, putValue } from './transfer.ts'
import { isBigEndian } from './vcpu.ts'

export function returnFromException(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): Step {
  const { lo, hi } = pass.address
  let step = pass.translate(insn, abort, false, lo, hi, 8)
  if (step !== Step.DONE) return step
  step = pass.path.transfer(Row.LOAD, lo, hi, 4, 2)
  if (step !== Step.DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  pass.writeback(insn)
  const { data } = pass.path
  returnTo(pass.vcpu, getWord(data, 0, 4, 0, bigEndian), getWord(data, 4, 4, 0, bigEndian))
  return Step.DONE
}

/** SRS: LR and SPSR of this mode, to the stack of another. */
export function saveState(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): Step {
  const vcpu = pass.vcpu
  const path = pass.path
  const { lo, hi } = pass.address
  let step = pass.translate(insn, abort, true, lo, hi, 8)
  if (step !== Step.DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  putValue(path.data, 0, 4, readR(vcpu, insn.set, 14), 0, bigEndian)
  putValue(path.data, 4, 4, savedState(vcpu), 0, bigEndian)
  step = path.transfer(Row.STORE, lo, hi, 4, 2)
  if (step !== Step.DONE) return step
  pass.flush()
  const { writeback, baseLo } = pass.address
  if (writeback) {
    const mode = vcpu.pstate
    vcpu.pstate = (mode & ~15) | (insn.list & 15)
    writeR(vcpu, 13, baseLo)
    vcpu.pstate = mode
  }
  retire(vcpu, insn.length)
  return Step.DONE
}

/** The address of SRS is from the stack pointer of the mode that it names. */
export function stackAddress(pass: ExecutionPass, insn: LoadStore): void {
  const vcpu = pass.vcpu
  const mode = vcpu.pstate
  vcpu.pstate = (mode & ~15) | (insn.list & 15)
  effectiveAddress(vcpu, insn, pass.address)
  vcpu.pstate = mode
}
