/** Loads, stores, and other instructions with one row of accesses. */
import type { ArmAbort } from './abort.ts'
import { Row } from './access-path.ts'
import type { ExecutionPass } from './execution-pass.ts'
import { InstructionSet, type LoadStore } from '@retrap/arm-decoder'
import { type AccessStatus, STATUS_DONE, STATUS_RESTART } from '@retrap/replay'
import { pcValue, readX, writeX } from './registers.ts'
import { branchTo, retire, retireTo, returnTo, savedState } from './retire.ts'
import { gatherStore, getWord, loadedPc, putValue, scatterLoad } from './transfer.ts'
import { isBigEndian } from './vcpu.ts'

export function load(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  const { elementSize, elements, form } = insn
  const path = pass.path
  if (form.attributes.has('pac') && !pass.authentic) return STATUS_RESTART
  if (unpredictable(insn)) return pass.retired(insn)
  let step = pass.translate(insn, abort, false, lo, hi, elementSize * elements)
  if (step !== STATUS_DONE) return step
  step = path.transfer(Row.LOAD, lo, hi, elementSize, elements)
  if (step !== STATUS_DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  if (form.operation === 'load-exclusive') {
    const ipa = path.ipaOf(lo, hi)
    pass.order.setMonitor(pass.vcpu.id, ipa >>> 0, Math.floor(ipa / 2 ** 32), elementSize * elements)
  }
  const target = loadedPc(insn, path.data, bigEndian)
  // A base register that is in the list of loaded registers keeps its loaded value.
  pass.writeback(insn)
  scatterLoad(pass.vcpu, insn, path.data, bigEndian)
  if (target < 0) retire(pass.vcpu, insn.length)
  else if (form.attributes.has('return')) returnTo(pass.vcpu, target, savedState(pass.vcpu))
  else retireTo(pass.vcpu, target)
  return STATUS_DONE
}

export function store(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  const { elementSize, elements } = insn
  if (unpredictable(insn)) return pass.retired(insn)
  let step = pass.translate(insn, abort, true, lo, hi, elementSize * elements)
  if (step !== STATUS_DONE) return step
  gatherStore(pass.vcpu, insn, pass.path.data, isBigEndian(pass.vcpu))
  step = pass.path.transfer(Row.STORE, lo, hi, elementSize, elements)
  if (step !== STATUS_DONE) return step
  pass.flush()
  pass.writeback(insn)
  return pass.retired(insn)
}

export function tableBranch(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  let step = pass.translate(insn, abort, false, lo, hi, insn.elementSize)
  if (step !== STATUS_DONE) return step
  step = pass.path.transfer(Row.LOAD, lo, hi, insn.elementSize, 1)
  if (step !== STATUS_DONE) return step
  const offset = getWord(pass.path.data, 0, insn.elementSize, 0, isBigEndian(pass.vcpu))
  branchTo(pass.vcpu, pcValue(pass.vcpu, insn.set) + offset * 2)
  return STATUS_DONE
}

/** DC ZVA and similar instructions: stores doublewords of zero. */
export function zero(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi, bytes } = pass.extent
  const path = pass.path
  let step = pass.translate(insn, abort, true, lo, hi, bytes)
  if (step !== STATUS_DONE) return step
  // Device memory is no memory to DC ZVA.
  if (path.isDevicePage(lo, hi) && insn.form.attributes.has('block')) return pass.misaligned(lo, hi, true)
  path.data.fill(0, 0, bytes)
  step = path.transfer(Row.STORE, lo, hi, 8, bytes / 8)
  if (step !== STATUS_DONE) return step
  pass.flush()
  pass.writeback(insn)
  return pass.retired(insn)
}

/** 64 bytes as one access, from or to eight registers. The status of ST64BV is success. */
export function transfer64(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  const write = insn.form.operation === 'store-64b'
  const path = pass.path
  const { data } = path
  if (lo % 64 !== 0) return pass.misaligned(lo, hi, write)
  let step = pass.translate(insn, abort, write, lo, hi, 64)
  if (step !== STATUS_DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  if (write) {
    for (let i = 0; i < 8; i++) {
      readX(pass.vcpu, insn.rt + i, false, pass.value)
      putValue(data, i * 8, 8, pass.value.lo, pass.value.hi, bigEndian)
    }
  }
  step = path.transfer(write ? Row.STORE : Row.LOAD, lo, hi, 64, 1)
  if (step !== STATUS_DONE) return step
  pass.flush()
  if (!write) {
    for (let i = 0; i < 8; i++) {
      writeX(
        pass.vcpu,
        insn.rt + i,
        false,
        getWord(data, i * 8, 8, 0, bigEndian),
        getWord(data, i * 8, 8, 4, bigEndian),
      )
    }
  } else if (insn.rs >= 0) writeX(pass.vcpu, insn.rs, false, 0, 0)
  return pass.retired(insn)
}

/** Devices have no tags: tags read as 0, and stores of tags are ignored. Maintenance of devices has no effect. */
export function tagsAndMaintenance(pass: ExecutionPass, insn: LoadStore): AccessStatus {
  const { operation } = insn.form
  if (operation === 'tag-load') {
    readX(pass.vcpu, insn.rt, false, pass.value)
    // The tag is bits 59:56.
    writeX(pass.vcpu, insn.rt, false, pass.value.lo, pass.value.hi & ~0x0f00_0000)
  } else if (operation === 'tags' && insn.form.mnemonic === 'LDGM') writeX(pass.vcpu, insn.rt, false, 0, 0)
  pass.writeback(insn)
  return pass.retired(insn)
}

/**
 * Encodings that the architecture calls constrained unpredictable, and that do nothing here: writeback to a base that is
 * also transferred, and A64 pairs that load one register twice.
 */
function unpredictable(insn: LoadStore): boolean {
  const { form } = insn
  if (insn.set !== InstructionSet.A64 || insn.vector) return false
  const load = form.operation === 'load'
  if (load && form.attributes.has('pair') && insn.rt === insn.rt2) return true
  const writeback = insn.addressing === 1 || insn.addressing === 2
  if (!writeback || insn.rn === 31 || form.attributes.has('pac')) return false
  return insn.rt === insn.rn || (form.attributes.has('pair') && insn.rt2 === insn.rn)
}
