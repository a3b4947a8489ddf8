/** Instructions that keep everyone else from an address: exclusive stores, atomics, compare and swap. */
import type { ArmAbort } from './abort.ts'
import { Row } from './access-path.ts'
import { atomicResult, type AtomicOperation } from './atomic-operations.ts'
import type { ExecutionPass } from './execution-pass.ts'
import { InstructionSet, type LoadStore } from '@retrap/arm-decoder'
import { type AccessStatus, STATUS_DONE, STATUS_RETRY } from '@retrap/replay'
import { readR, readX, type RegisterValue, writeR, writeX } from './registers.ts'
import { gatherStore, getWord, putValue, scatterLoad } from './transfer.ts'
import { isBigEndian, type ArmVcpu } from './vcpu.ts'

/** Without a monitor that matches there is no access, and the status is 1. */
export function storeExclusive(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  const { elementSize, elements } = insn
  const bytes = elementSize * elements
  const vcpu = pass.vcpu
  const path = pass.path
  if (lo % bytes !== 0) return pass.misaligned(lo, hi, true)
  let step = pass.translate(insn, abort, true, lo, hi, bytes)
  if (step !== STATUS_DONE) return step
  const ipa = path.ipaOf(lo, hi)
  const ipaHi = Math.floor(ipa / 2 ** 32)
  path.hold()
  // Decided once, with the address held.
  if (!pass.log.replaying) {
    if (!path.lockAddress(ipa >>> 0, ipaHi)) return STATUS_RETRY
    if (!pass.order.monitorMatches(vcpu.id, ipa >>> 0, ipaHi, bytes)) {
      pass.order.clearMonitor(vcpu.id)
      writeStatus(pass, insn, 1)
      return pass.retired(insn)
    }
  }
  gatherStore(vcpu, insn, path.data, isBigEndian(pass.vcpu))
  step = path.transfer(Row.STORE, lo, hi, elementSize, elements)
  if (step !== STATUS_DONE) return step
  pass.flush()
  pass.order.clearMonitor(vcpu.id)
  writeStatus(pass, insn, 0)
  return pass.retired(insn)
}

/** Reads, computes and writes, with the address held from the read to the write. */
export function atomic(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  const { elementSize, elements } = insn
  const bytes = elementSize * elements
  const path = pass.path
  const { data } = path
  let step = readHeld(pass, insn, abort)
  if (step !== STATUS_DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  const operation = OPERATIONS.find((name) => insn.form.attributes.has(name)) ?? 'swap'
  // The new value stands behind the old one.
  for (let i = 0; i < elements; i++) {
    atomicSource(pass, insn, i)
    const at = i * elementSize
    const old = pass.other
    old.lo = getWord(data, at, elementSize, 0, bigEndian)
    old.hi = elementSize === 8 ? getWord(data, at, 8, 4, bigEndian) : 0
    atomicResult(operation, elementSize, old, pass.value, pass.words)
    putValue(data, bytes + at, elementSize, pass.words[0]!, pass.words[1]!, bigEndian)
  }
  step = path.transfer(Row.STORE_BACK, lo, hi, elementSize, elements, bytes)
  if (step !== STATUS_DONE) return step
  pass.flush()
  scatterLoad(pass.vcpu, insn, data, bigEndian)
  return pass.retired(insn)
}

export function compareAndSwap(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  const { elementSize, elements } = insn
  const bytes = elementSize * elements
  const path = pass.path
  const { data } = path
  let step = readHeld(pass, insn, abort)
  if (step !== STATUS_DONE) return step
  const bigEndian = isBigEndian(pass.vcpu)
  let equal = true
  for (let i = 0; i < elements; i++) {
    readX(pass.vcpu, (insn.rs + i) & 31, false, pass.value)
    putValue(data, bytes + i * elementSize, elementSize, pass.value.lo, pass.value.hi, bigEndian)
  }
  for (let i = 0; i < bytes; i++) equal &&= data[i] === data[bytes + i]
  if (equal) {
    gatherSwap(pass.vcpu, insn, data, bytes * 2, bigEndian, pass.other)
    step = path.transfer(Row.STORE_BACK, lo, hi, elementSize, elements, bytes * 2)
    if (step !== STATUS_DONE) return step
    pass.flush()
  }
  // Rs gets memory's old value.
  for (let i = 0; i < elements; i++) {
    const at = i * elementSize
    const high = elementSize === 8 ? getWord(data, at, 8, 4, bigEndian) : 0
    writeX(pass.vcpu, (insn.rs + i) & 31, false, getWord(data, at, elementSize, 0, bigEndian), high)
  }
  return pass.retired(insn)
}

/** Reads the old value, and keeps all other accesses from the address until the instruction ends. */
function readHeld(pass: ExecutionPass, insn: LoadStore, abort: ArmAbort): AccessStatus {
  const { lo, hi } = pass.address
  const { elementSize, elements } = insn
  const bytes = elementSize * elements
  if (lo % bytes !== 0) return pass.misaligned(lo, hi, true)
  const step = pass.translate(insn, abort, true, lo, hi, bytes)
  if (step !== STATUS_DONE) return step
  pass.path.hold()
  return pass.path.transfer(Row.LOAD, lo, hi, elementSize, elements)
}

/** Returns the value that an atomic combines with memory: Rs, or for pairs Xt and Xt2. */
function atomicSource(pass: ExecutionPass, insn: LoadStore, element: number): void {
  const value = pass.value
  const number = insn.elements === 2 ? (element === 0 ? insn.rt : insn.rt2) : insn.rs
  if (insn.set === InstructionSet.A64) readX(pass.vcpu, number, false, value)
  else {
    value.lo = readR(pass.vcpu, insn.set, number)
    value.hi = 0
  }
}

function writeStatus(pass: ExecutionPass, insn: LoadStore, status: number): void {
  if (insn.set === InstructionSet.A64) writeX(pass.vcpu, insn.rs, false, status, 0)
  else writeR(pass.vcpu, insn.rs, status)
}

const OPERATIONS: readonly AtomicOperation[] = ['add', 'clear', 'eor', 'set', 'smax', 'smin', 'umax', 'umin', 'swap']

/** The values that a compare and swap stores: Rt and, for pairs, the next register. */
function gatherSwap(
  vcpu: ArmVcpu,
  insn: LoadStore,
  data: Uint8Array,
  at: number,
  bigEndian: boolean,
  value: RegisterValue,
): void {
  for (let i = 0; i < insn.elements; i++) {
    readX(vcpu, (insn.rt + i) & 31, false, value)
    putValue(data, at + i * insn.elementSize, insn.elementSize, value.lo, value.hi, bigEndian)
  }
}
