/** Memory copies and fills (FEAT_MOPS), one step at a time. */
import { ARM_PAN, ARM_UNPRIVILEGED, ARM_WRITE } from '@retrap/paging'
import { Row } from './access-path.ts'
import { advanceCopy, copyRange, copyStage, copyStep, finishPrologue } from './copy.ts'
import type { ExecutionPass } from './execution-pass.ts'
import type { LoadStore } from '@retrap/arm-decoder'
import { type AccessStatus, STATUS_DONE } from '@retrap/replay'
import { readX } from './registers.ts'
import { retire } from './retire.ts'
import { isUser, PSTATE_PAN } from './vcpu.ts'

/** A part of a copy may report any byte that is left, of source or target. */
export function prepareCopy(pass: ExecutionPass, insn: LoadStore): void {
  const extent = pass.extent
  // A prologue copies nothing, so any address will do; later stages continue at their addresses.
  if (copyStage(insn) === 0) {
    extent.lo = 0
    extent.hi = 0
    extent.otherLo = 0
    extent.otherHi = 0
    extent.bytes = Infinity
    return
  }
  copyRange(pass.vcpu, insn, pass.copy)
  extent.lo = pass.copy.targetLo
  extent.hi = pass.copy.targetHi
  extent.otherLo = pass.copy.sourceLo
  extent.otherHi = pass.copy.sourceHi
  extent.bytes = pass.copy.bytes
  copyStep(pass.vcpu, insn, pass.copy)
}

/** One step of a memory copy: the instruction stays until nothing is left. */
export function copyPart(pass: ExecutionPass, insn: LoadStore): AccessStatus {
  const vcpu = pass.vcpu
  const path = pass.path
  if (copyStage(insn) === 0) {
    finishPrologue(vcpu, insn, pass.copyOption)
    return pass.retired(insn)
  }
  const { bytes, sourceLo, sourceHi, targetLo, targetHi } = pass.copy
  const fill = insn.form.operation === 'fill'
  const [readBits, writeBits] = copyBits(pass, insn)
  pass.writing = false
  let step: AccessStatus = fill ? STATUS_DONE : path.translate(sourceLo, sourceHi, bytes, readBits)
  if (step !== STATUS_DONE) return step
  pass.writing = true
  step = path.translate(targetLo, targetHi, bytes, writeBits)
  if (step !== STATUS_DONE) return step
  if (fill) {
    readX(vcpu, insn.rs, false, pass.value)
    path.data.fill(pass.value.lo & 0xff, 0, bytes)
  } else {
    pass.writing = false
    step = path.transfer(Row.LOAD, sourceLo, sourceHi, bytes, 1)
    if (step !== STATUS_DONE) return step
    pass.writing = true
  }
  step = path.transfer(Row.STORE_BACK, targetLo, targetHi, bytes, 1)
  if (step !== STATUS_DONE) return step
  pass.flush()
  if (advanceCopy(vcpu, insn, bytes)) retire(vcpu, insn.length)
  return STATUS_DONE
}

/** Rights of the reads and the writes: the options W, R, T of the mnemonic. */
function copyBits(pass: ExecutionPass, insn: LoadStore): [number, number] {
  const user = isUser(pass.vcpu)
  const options = (insn.word >>> 12) & 3
  const fill = insn.form.operation === 'fill'
  const writeUser = user || (options & 1) !== 0
  const readUser = user || (options & 2) !== 0
  const pan = (pass.vcpu.pstate & PSTATE_PAN) !== 0
  const bits = (unprivileged: boolean): number => (unprivileged ? ARM_UNPRIVILEGED : pan ? ARM_PAN : 0)
  return [bits(readUser), ARM_WRITE | bits(fill ? user || (options & 1) !== 0 : writeUser)]
}
