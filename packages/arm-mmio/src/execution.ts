/** Executes a decoded load or store: its accesses in order, then its registers, all at once. */
import { ARM_PAN, ARM_UNPRIVILEGED, ARM_WRITE } from '@retrap/paging'
import { type AccessLog } from '@retrap/replay'
import { type ArmAbort, faultIpa, hpfarValid } from './abort.ts'
import { type AccessPath, Step } from './access-path.ts'
import { type AtomicOperation, atomicResult } from './atomic-operations.ts'
import { advanceCopy, copyRange, type CopyStep, copyStage, copyStep, finishPrologue } from './copy.ts'
import { EffectiveAddress, effectiveAddress } from './effective-address.ts'
import type { Extent } from './explain.ts'
import { InstructionSet, type LoadStore } from './load-store.ts'
import { pcValue, readR, readX, RegisterValue, writeR, writeX } from './registers.ts'
import { branchTo, retire, retireTo, returnTo, savedState } from './retire.ts'
import type { DeviceOrder } from './serialise.ts'
import { gatherStore, getWord, loadedPc, putValue, scatterLoad } from './transfer.ts'
import { type ArmVcpu, isAArch32, isBigEndian, isUser, PSTATE_PAN, PSTATE_UAO } from './vcpu.ts'
import type { ArmWorld } from './world.ts'

/** Operations that this package recognises and cannot carry out. */
const UNSUPPORTED = new Set(['scalable', 'other'])

/** Where a step of a copy has its source and its target among the accesses. */
const OPERAND = 0
const OPERAND_TARGET = 1

/** What an execution works with. */
export interface ExecutionParts {
  readonly vcpu: ArmVcpu
  readonly world: ArmWorld
  readonly order: DeviceOrder
  readonly log: AccessLog
  readonly path: AccessPath
  readonly zeroBlockBytes: number
  readonly copyOption: 'A' | 'B'
}

/** Executes instructions of one vCPU. */
export class Execution {
  /** The access made last was a write. */
  writing: boolean
  readonly #vcpu: ArmVcpu
  readonly #world: ArmWorld
  readonly #order: DeviceOrder
  readonly #log: AccessLog
  readonly #path: AccessPath
  readonly #zeroBlockBytes: number
  readonly #copyOption: 'A' | 'B'
  readonly #address: EffectiveAddress
  readonly #extent: { -readonly [Name in keyof Extent]: Extent[Name] }
  readonly #copy: CopyStep
  readonly #value: RegisterValue
  readonly #other: RegisterValue
  readonly #words: Uint32Array
  #authentic: boolean

  constructor({ vcpu, world, order, log, path, zeroBlockBytes, copyOption }: ExecutionParts) {
    this.writing = false
    this.#vcpu = vcpu
    this.#world = world
    this.#order = order
    this.#log = log
    this.#path = path
    this.#zeroBlockBytes = zeroBlockBytes
    this.#copyOption = copyOption
    this.#address = new EffectiveAddress()
    this.#extent = { lo: 0, hi: 0, bytes: 0, otherLo: 0, otherHi: 0 }
    this.#copy = { bytes: 0, sourceLo: 0, sourceHi: 0, targetLo: 0, targetHi: 0 }
    this.#value = new RegisterValue()
    this.#other = new RegisterValue()
    this.#words = new Uint32Array(2)
    this.#authentic = true
  }

  /** A register as an AArch32 hypervisor's syndrome numbers it. */
  readGuestRegister(number: number): number {
    return readR(this.#vcpu, InstructionSet.A32, number)
  }

  /** Whether the instruction can be carried out. */
  supports(insn: LoadStore): boolean {
    const { operation, attributes } = insn.form
    if (UNSUPPORTED.has(operation)) return false
    return !attributes.has('pac') || this.#world.authenticate !== undefined
  }

  /**
   * Whether the instruction can have aborted at this level of privilege. RFE, SRS and loads that return from an exception
   * do not reach memory in User mode: code that was swapped in after the trap must not gain a mode by them.
   */
  isPermitted(insn: LoadStore): boolean {
    const { operation, attributes } = insn.form
    const returns = operation === 'return' || operation === 'save' || attributes.has('return')
    return !returns || !isUser(this.#vcpu)
  }

  /** Works out what the instruction accesses. */
  prepare(insn: LoadStore): Extent {
    const extent = this.#extent
    const address = this.#address
    const { operation } = insn.form
    if (operation === 'copy' || operation === 'copy-forward' || operation === 'fill') {
      this.#prepareCopy(insn)
      return extent
    }
    if (insn.form.attributes.has('pac')) this.#preparePac(insn)
    else if (operation === 'save') this.#stackAddress(insn)
    else effectiveAddress(this.#vcpu, insn, address)
    extent.lo = address.lo
    extent.hi = address.hi
    extent.bytes = insn.elementSize * insn.elements
    if (operation === 'zero' || operation === 'tag-store') {
      extent.bytes = insn.form.attributes.has('block') ? this.#zeroBlockBytes : insn.form.size
      if (insn.form.attributes.has('block')) extent.lo = (extent.lo & ~(this.#zeroBlockBytes - 1)) >>> 0
    }
    if (operation === 'tag-load' || operation === 'tags') extent.bytes = 2048
    extent.otherLo = extent.lo
    extent.otherHi = extent.hi
    return extent
  }

  /** A part of a copy may report any byte that is left, of source or target. */
  #prepareCopy(insn: LoadStore): void {
    const extent = this.#extent
    // Prologues move nothing here, so any address will do; the others go on from where they are.
    if (copyStage(insn) === 0) {
      extent.lo = 0
      extent.hi = 0
      extent.otherLo = 0
      extent.otherHi = 0
      extent.bytes = Infinity
      return
    }
    copyRange(this.#vcpu, insn, this.#copy)
    extent.lo = this.#copy.targetLo
    extent.hi = this.#copy.targetHi
    extent.otherLo = this.#copy.sourceLo
    extent.otherHi = this.#copy.sourceHi
    extent.bytes = this.#copy.bytes
    copyStep(this.#vcpu, insn, this.#copy)
  }

  /** The base is authenticated before the offset is added. */
  #preparePac(insn: LoadStore): void {
    const value = this.#value
    readX(this.#vcpu, insn.rn, true, value)
    const key = insn.form.mnemonic === 'LDRAB' ? 1 : 0
    this.#authentic = this.#world.authenticate?.(key, value.lo, value.hi, this.#words) ?? false
    const address = this.#address
    const [lo = 0, hi = 0] = this.#words
    const sum = lo + (insn.offset >>> 0)
    address.lo = sum >>> 0
    address.hi = (hi + (insn.offset < 0 ? -1 : 0) + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
    address.writeback = insn.addressing !== 0
    address.baseLo = address.lo
    address.baseHi = address.hi
  }

  /**
   * Executes one pass. At `DONE` the registers have changed and the instruction has retired; else nothing has but the log.
   *
   * @param abort - must be explained by the instruction
   */
  run(insn: LoadStore, abort: ArmAbort): Step {
    switch (insn.form.operation) {
      case 'load':
      case 'load-exclusive':
        return this.#load(insn, abort)
      case 'store':
        return this.#store(insn, abort)
      case 'store-exclusive':
        return this.#storeExclusive(insn, abort)
      case 'atomic':
        return this.#atomic(insn, abort)
      case 'compare-and-swap':
        return this.#compareAndSwap(insn, abort)
      case 'table-branch':
        return this.#tableBranch(insn, abort)
      case 'zero':
        return this.#zero(insn, abort)
      case 'load-64b':
      case 'store-64b':
        return this.#transfer64(insn, abort)
      case 'copy':
      case 'copy-forward':
      case 'fill':
        return this.#copyPart(insn)
      case 'return':
        return this.#returnFromException(insn, abort)
      case 'save':
        return this.#saveState(insn, abort)
      default:
        return this.#tagsAndMaintenance(insn)
    }
  }

  #userAccess(insn: LoadStore): boolean {
    if (isUser(this.#vcpu)) return true
    if (!insn.form.attributes.has('unprivileged')) return false
    return isAArch32(this.#vcpu) || (this.#vcpu.pstate & PSTATE_UAO) === 0
  }

  /** `ARM_` bits of the instruction's accesses. */
  #accessBits(insn: LoadStore, write: boolean): number {
    const user = this.#userAccess(insn)
    const pan = !user && (this.#vcpu.pstate & PSTATE_PAN) !== 0
    return (write ? ARM_WRITE : 0) | (user ? ARM_UNPRIVILEGED : 0) | (pan ? ARM_PAN : 0)
  }

  /**
   * Translates what the instruction accesses. If the page that aborted is no longer where it was, nothing has happened and
   * the guest tries again.
   */
  #translate(insn: LoadStore, abort: ArmAbort, write: boolean, lo: number, hi: number, bytes: number): Step {
    const path = this.#path
    this.writing = write
    const step = path.translate(lo, hi, bytes, this.#accessBits(insn, write))
    const samePage = (path.faultLo & ~0xfff) === (abort.farLo & ~0xfff)
    if (step !== Step.DONE) return samePage ? Step.RETRY : step
    if (this.#log.pass > 1 || !hpfarValid(abort.esr)) return Step.DONE
    const aarch32 = isAArch32(this.#vcpu)
    const farHi = aarch32 ? 0 : abort.farLo >>> 0 < lo >>> 0 ? (hi + 1) >>> 0 : hi
    return path.ipaOf(abort.farLo >>> 0, farHi) === faultIpa(abort) ? Step.DONE : Step.RETRY
  }

  #load(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    const { elementSize, elements, form } = insn
    const path = this.#path
    if (form.attributes.has('pac') && !this.#authentic) return Step.RETRY
    if (unpredictable(insn)) return this.#nop(insn)
    let step = this.#translate(insn, abort, false, lo, hi, elementSize * elements)
    if (step !== Step.DONE) return step
    step = path.transfer(false, lo, hi, elementSize, elements, OPERAND)
    if (step !== Step.DONE) return step
    const bigEndian = isBigEndian(this.#vcpu)
    if (form.operation === 'load-exclusive') {
      const ipa = path.ipaOf(lo, hi)
      this.#order.setMonitor(this.#vcpu.id, ipa >>> 0, Math.floor(ipa / 2 ** 32), elementSize * elements)
    }
    const target = loadedPc(insn, path.data, bigEndian)
    // A base that is in the list keeps what was loaded.
    this.#writeback(insn)
    scatterLoad(this.#vcpu, insn, path.data, bigEndian)
    if (target < 0) retire(this.#vcpu, insn.length)
    else if (form.attributes.has('return')) returnTo(this.#vcpu, target, savedState(this.#vcpu))
    else retireTo(this.#vcpu, target)
    return Step.DONE
  }

  #store(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    const { elementSize, elements } = insn
    if (unpredictable(insn)) return this.#nop(insn)
    let step = this.#translate(insn, abort, true, lo, hi, elementSize * elements)
    if (step !== Step.DONE) return step
    gatherStore(this.#vcpu, insn, this.#path.data, isBigEndian(this.#vcpu))
    step = this.#path.transfer(true, lo, hi, elementSize, elements, OPERAND)
    if (step !== Step.DONE) return step
    this.#flush()
    this.#writeback(insn)
    retire(this.#vcpu, insn.length)
    return Step.DONE
  }

  /** Makes the writes to RAM that were held. */
  #flush(): void {
    this.#log.forEachHeldWrite((lo, hi, size, bytes, offset) => this.#world.writeRam(lo, hi, size, bytes, offset))
  }

  #writeback(insn: LoadStore): void {
    const { writeback, baseLo, baseHi } = this.#address
    if (!writeback) return
    if (insn.set === InstructionSet.A64) writeX(this.#vcpu, insn.rn, true, baseLo, baseHi)
    else writeR(this.#vcpu, insn.rn, baseLo)
  }

  #nop(insn: LoadStore): Step {
    retire(this.#vcpu, insn.length)
    return Step.DONE
  }

  #writeStatus(insn: LoadStore, status: number): void {
    if (insn.set === InstructionSet.A64) writeX(this.#vcpu, insn.rs, false, status, 0)
    else writeR(this.#vcpu, insn.rs, status)
  }

  /** Without a monitor that matches there is no access, and the status is 1. */
  #storeExclusive(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    const { elementSize, elements } = insn
    const bytes = elementSize * elements
    const vcpu = this.#vcpu
    const path = this.#path
    if (lo % bytes !== 0) return this.#misaligned(lo, hi, true)
    let step = this.#translate(insn, abort, true, lo, hi, bytes)
    if (step !== Step.DONE) return step
    const ipa = path.ipaOf(lo, hi)
    const ipaHi = Math.floor(ipa / 2 ** 32)
    path.hold()
    // Decided once, with the address held.
    if (!this.#log.replaying) {
      if (!path.lockAddress(ipa >>> 0, ipaHi)) return Step.BUSY
      if (!this.#order.monitorMatches(vcpu.id, ipa >>> 0, ipaHi, bytes)) {
        this.#order.clearMonitor(vcpu.id)
        this.#writeStatus(insn, 1)
        retire(vcpu, insn.length)
        return Step.DONE
      }
    }
    gatherStore(vcpu, insn, path.data, isBigEndian(this.#vcpu))
    step = path.transfer(true, lo, hi, elementSize, elements, OPERAND)
    if (step !== Step.DONE) return step
    this.#flush()
    this.#order.clearMonitor(vcpu.id)
    this.#writeStatus(insn, 0)
    retire(vcpu, insn.length)
    return Step.DONE
  }

  #misaligned(lo: number, hi: number, write: boolean): Step {
    this.writing = write
    this.#path.faultLo = lo
    this.#path.faultHi = hi
    return Step.ALIGNMENT
  }

  /** Reads what is to be replaced, and keeps everyone else from the address until the instruction ends. */
  #readHeld(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    const { elementSize, elements } = insn
    const bytes = elementSize * elements
    if (lo % bytes !== 0) return this.#misaligned(lo, hi, true)
    const step = this.#translate(insn, abort, true, lo, hi, bytes)
    if (step !== Step.DONE) return step
    this.#path.hold()
    return this.#path.transfer(false, lo, hi, elementSize, elements, OPERAND)
  }

  /** Reads, computes and writes, with the address held from the read to the write. */
  #atomic(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    const { elementSize, elements } = insn
    const bytes = elementSize * elements
    const path = this.#path
    const { data } = path
    let step = this.#readHeld(insn, abort)
    if (step !== Step.DONE) return step
    const bigEndian = isBigEndian(this.#vcpu)
    const operation = atomicOperation(insn)
    // The new value stands behind the old one.
    for (let i = 0; i < elements; i++) {
      this.#atomicSource(insn, i)
      const at = i * elementSize
      const old = this.#other
      old.lo = getWord(data, at, elementSize, 0, bigEndian)
      old.hi = elementSize === 8 ? getWord(data, at, 8, 4, bigEndian) : 0
      atomicResult(operation, elementSize, old, this.#value, this.#words)
      putValue(data, bytes + at, elementSize, this.#words[0]!, this.#words[1]!, bigEndian)
    }
    step = path.transfer(true, lo, hi, elementSize, elements, OPERAND_TARGET, bytes)
    if (step !== Step.DONE) return step
    this.#flush()
    scatterLoad(this.#vcpu, insn, data, bigEndian)
    retire(this.#vcpu, insn.length)
    return Step.DONE
  }

  /** What an atomic combines with memory: Rs, or for pairs Xt and Xt2. */
  #atomicSource(insn: LoadStore, element: number): void {
    const value = this.#value
    const number = insn.elements === 2 ? (element === 0 ? insn.rt : insn.rt2) : insn.rs
    if (insn.set === InstructionSet.A64) readX(this.#vcpu, number, false, value)
    else {
      value.lo = readR(this.#vcpu, insn.set, number)
      value.hi = 0
    }
  }

  #compareAndSwap(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    const { elementSize, elements } = insn
    const bytes = elementSize * elements
    const path = this.#path
    const { data } = path
    let step = this.#readHeld(insn, abort)
    if (step !== Step.DONE) return step
    const bigEndian = isBigEndian(this.#vcpu)
    let equal = true
    for (let i = 0; i < elements; i++) {
      readX(this.#vcpu, (insn.rs + i) & 31, false, this.#value)
      putValue(data, bytes + i * elementSize, elementSize, this.#value.lo, this.#value.hi, bigEndian)
    }
    for (let i = 0; i < bytes; i++) equal &&= data[i] === data[bytes + i]
    if (equal) {
      gatherSwap(this.#vcpu, insn, data, bytes * 2, bigEndian, this.#other)
      step = path.transfer(true, lo, hi, elementSize, elements, OPERAND_TARGET, bytes * 2)
      if (step !== Step.DONE) return step
      this.#flush()
    }
    // Rs gets what memory held.
    for (let i = 0; i < elements; i++) {
      const at = i * elementSize
      const high = elementSize === 8 ? getWord(data, at, 8, 4, bigEndian) : 0
      writeX(this.#vcpu, (insn.rs + i) & 31, false, getWord(data, at, elementSize, 0, bigEndian), high)
    }
    retire(this.#vcpu, insn.length)
    return Step.DONE
  }

  #tableBranch(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    let step = this.#translate(insn, abort, false, lo, hi, insn.elementSize)
    if (step !== Step.DONE) return step
    step = this.#path.transfer(false, lo, hi, insn.elementSize, 1, OPERAND)
    if (step !== Step.DONE) return step
    const offset = getWord(this.#path.data, 0, insn.elementSize, 0, isBigEndian(this.#vcpu))
    branchTo(this.#vcpu, pcValue(this.#vcpu, insn.set) + offset * 2)
    return Step.DONE
  }

  /** DC ZVA and its like: doublewords of zero. */
  #zero(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi, bytes } = this.#extent
    const path = this.#path
    let step = this.#translate(insn, abort, true, lo, hi, bytes)
    if (step !== Step.DONE) return step
    // Device memory is no memory to DC ZVA.
    if (path.isDevicePage(lo, hi) && insn.form.attributes.has('block')) return this.#misaligned(lo, hi, true)
    path.data.fill(0, 0, bytes)
    step = path.transfer(true, lo, hi, 8, bytes / 8, OPERAND)
    if (step !== Step.DONE) return step
    this.#flush()
    this.#writeback(insn)
    retire(this.#vcpu, insn.length)
    return Step.DONE
  }

  /** 64 bytes as one access, from or to eight registers. The status of ST64BV is success. */
  #transfer64(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    const write = insn.form.operation === 'store-64b'
    const path = this.#path
    const { data } = path
    if (lo % 64 !== 0) return this.#misaligned(lo, hi, write)
    let step = this.#translate(insn, abort, write, lo, hi, 64)
    if (step !== Step.DONE) return step
    const bigEndian = isBigEndian(this.#vcpu)
    if (write) {
      for (let i = 0; i < 8; i++) {
        readX(this.#vcpu, insn.rt + i, false, this.#value)
        putValue(data, i * 8, 8, this.#value.lo, this.#value.hi, bigEndian)
      }
    }
    step = path.transfer(write, lo, hi, 64, 1, OPERAND)
    if (step !== Step.DONE) return step
    this.#flush()
    if (!write) {
      for (let i = 0; i < 8; i++) {
        writeX(
          this.#vcpu,
          insn.rt + i,
          false,
          getWord(data, i * 8, 8, 0, bigEndian),
          getWord(data, i * 8, 8, 4, bigEndian),
        )
      }
    } else if (insn.rs >= 0) writeX(this.#vcpu, insn.rs, false, 0, 0)
    retire(this.#vcpu, insn.length)
    return Step.DONE
  }

  /** One step of a memory copy: the instruction stays until nothing is left. */
  #copyPart(insn: LoadStore): Step {
    const vcpu = this.#vcpu
    const path = this.#path
    if (copyStage(insn) === 0) {
      finishPrologue(vcpu, insn, this.#copyOption)
      return this.#nop(insn)
    }
    const { bytes, sourceLo, sourceHi, targetLo, targetHi } = this.#copy
    const fill = insn.form.operation === 'fill'
    const [readBits, writeBits] = this.#copyBits(insn)
    this.writing = false
    let step: Step = fill ? Step.DONE : path.translate(sourceLo, sourceHi, bytes, readBits)
    if (step !== Step.DONE) return step
    this.writing = true
    step = path.translate(targetLo, targetHi, bytes, writeBits)
    if (step !== Step.DONE) return step
    if (fill) {
      readX(vcpu, insn.rs, false, this.#value)
      path.data.fill(this.#value.lo & 0xff, 0, bytes)
    } else {
      this.writing = false
      step = path.transfer(false, sourceLo, sourceHi, bytes, 1, OPERAND)
      if (step !== Step.DONE) return step
      this.writing = true
    }
    step = path.transfer(true, targetLo, targetHi, bytes, 1, OPERAND_TARGET)
    if (step !== Step.DONE) return step
    this.#flush()
    if (advanceCopy(vcpu, insn, bytes)) retire(vcpu, insn.length)
    return Step.DONE
  }

  /** Rights of the reads and the writes: the options W, R, T of the mnemonic. */
  #copyBits(insn: LoadStore): [number, number] {
    const user = isUser(this.#vcpu)
    const options = (insn.word >>> 12) & 3
    const fill = insn.form.operation === 'fill'
    const writeUser = user || (options & 1) !== 0
    const readUser = user || (options & 2) !== 0
    const pan = (this.#vcpu.pstate & PSTATE_PAN) !== 0
    const bits = (unprivileged: boolean): number => (unprivileged ? ARM_UNPRIVILEGED : pan ? ARM_PAN : 0)
    return [bits(readUser), ARM_WRITE | bits(fill ? user || (options & 1) !== 0 : writeUser)]
  }

  #returnFromException(insn: LoadStore, abort: ArmAbort): Step {
    const { lo, hi } = this.#address
    let step = this.#translate(insn, abort, false, lo, hi, 8)
    if (step !== Step.DONE) return step
    step = this.#path.transfer(false, lo, hi, 4, 2, OPERAND)
    if (step !== Step.DONE) return step
    const bigEndian = isBigEndian(this.#vcpu)
    this.#writeback(insn)
    const { data } = this.#path
    returnTo(this.#vcpu, getWord(data, 0, 4, 0, bigEndian), getWord(data, 4, 4, 0, bigEndian))
    return Step.DONE
  }

  /** SRS: LR and SPSR of this mode, to the stack of another. */
  #saveState(insn: LoadStore, abort: ArmAbort): Step {
    const vcpu = this.#vcpu
    const path = this.#path
    const { lo, hi } = this.#address
    let step = this.#translate(insn, abort, true, lo, hi, 8)
    if (step !== Step.DONE) return step
    const bigEndian = isBigEndian(this.#vcpu)
    putValue(path.data, 0, 4, readR(vcpu, insn.set, 14), 0, bigEndian)
    putValue(path.data, 4, 4, savedState(vcpu), 0, bigEndian)
    step = path.transfer(true, lo, hi, 4, 2, OPERAND)
    if (step !== Step.DONE) return step
    this.#flush()
    const { writeback, baseLo } = this.#address
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
  #stackAddress(insn: LoadStore): void {
    const vcpu = this.#vcpu
    const mode = vcpu.pstate
    vcpu.pstate = (mode & ~15) | (insn.list & 15)
    effectiveAddress(vcpu, insn, this.#address)
    vcpu.pstate = mode
  }

  /** Devices have no tags: they read as 0, and stores of them are dropped. Maintenance of devices does nothing. */
  #tagsAndMaintenance(insn: LoadStore): Step {
    const { operation } = insn.form
    if (operation === 'tag-load') {
      readX(this.#vcpu, insn.rt, false, this.#value)
      // The tag is bits 59:56.
      writeX(this.#vcpu, insn.rt, false, this.#value.lo, this.#value.hi & ~0x0f00_0000)
    } else if (operation === 'tags' && insn.form.mnemonic === 'LDGM') writeX(this.#vcpu, insn.rt, false, 0, 0)
    this.#writeback(insn)
    retire(this.#vcpu, insn.length)
    return Step.DONE
  }
}

const OPERATIONS: readonly AtomicOperation[] = ['add', 'clear', 'eor', 'set', 'smax', 'smin', 'umax', 'umin', 'swap']

function atomicOperation(insn: LoadStore): AtomicOperation {
  return OPERATIONS.find((name) => insn.form.attributes.has(name)) ?? 'swap'
}

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
