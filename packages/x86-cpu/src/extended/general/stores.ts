import { I64, type I32, select } from '@retrap/wasm-emitter'
import type { Context, Semantics, SemanticsTable } from '../../semantics/context.ts'
import { conditionOf, flagParts } from '../../semantics/flag-parts.ts'
import { signExtend } from '../../semantics/integer.ts'
import {
  ES,
  FLAGS_SUB,
  FLAGS_ARITHMETIC,
  FLAG_ZF,
  STATUS_DONE,
  S_EA,
  S_PASID,
  S_USER_MSR_CTL,
} from '../../state/state-layout.ts'
import { VECTOR_GP } from '../../state/vectors.ts'
import { addressSize } from '../../system/masked-move.ts'
import { readMsr } from '../../system/msr.ts'
import { gated, kernelOnly, readOperand, registerOffset, type Gate, type Handler } from '../../system/operands.ts'
import type { System } from '../../system/system.ts'

/**
 * Stores that compute, and stores past the caches: CMPccXADD, RAO-INT, MOVDIRI, MOVDIR64B, ENQCMD, MOVRS; prefetches; and
 * USER-MSR.
 *
 * Source: Intel SDM vol. 2, MOVDIRI, MOVDIR64B, ENQCMD, ENQCMDS; Intel Architecture Instruction Set Extensions Programming Reference, the pages
 * of the others.
 */

/** Names of the conditions, in the order of their numbers. */
const CONDITIONS = 'O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE'.split(' ')

/** Compares memory with a register; on a condition of that, adds the third operand to memory. The register gets what was there. */
function compareAdd(code: number): Semantics {
  return {
    emit: (c) => {
      const size = c.sizeOf(0)
      const compared = c.let(c.readS(1))
      const addend = c.let(c.readS(2))
      c.requireAligned(c.address(0), size)
      let [old, result] = [I64.of(0), I64.of(0)]
      c.modify(0, (value) => {
        old = c.let(value)
        result = c.let(signExtend(old.sub(compared), size))
        const holds: I32 = conditionOf(code & ~1, flagParts(FLAGS_SUB, old, compared, result))
        return old.add(select((code & 1) === 0 ? holds : holds.eqz(), addend, I64.of(0)))
      })
      c.write(1, old)
      c.flagsSub(old, compared, result)
    },
  }
}

/** Changes memory by a register, and no flags. */
function remote(operation: (a: I64, b: I64) => I64): Semantics {
  return {
    emit: (c) => {
      const b = c.let(c.readS(1))
      c.requireAligned(c.address(0), c.sizeOf(0))
      c.modify(0, (old) => operation(old, b))
    },
  }
}

const move: Semantics = { direct: true, emit: (c: Context) => c.write(0, c.readU(1)) }

/** Prefetches of data that is read, and of code: there is no cache to act on. */
const hint: Semantics = { emit: () => undefined }

const LINE_BYTES = 64
const line = new Uint8Array(LINE_BYTES)
const lineWords = new Uint32Array(line.buffer)

/** Finds the address in a register, in ES, where a line goes: `linLo` and `linHi`. */
function locateLine(s: System, record: number): void {
  const offset = registerOffset(s, record, 0)
  const size = addressSize(s, record)
  const lo = size === 2 ? s.get(offset) & 0xffff : s.get(offset)
  s.linear(ES, lo, size === 8 ? s.get(offset + 4) : 0, LINE_BYTES, true)
  if ((s.linLo & (LINE_BYTES - 1)) !== 0) s.raise(VECTOR_GP, 0)
}

function readLine(s: System): void {
  const [lo, hi] = [s.get(S_EA), s.get(S_EA + 4)]
  for (let at = 0; at < LINE_BYTES; at += 8) {
    lineWords[at >> 2] = s.readAt(lo, hi, at, 8)
    lineWords[(at >> 2) + 1] = s.hi
  }
}

/** A line lies in one page. Where it cannot be written, its first part raises the fault. */
function writeLine(s: System, lo: number, hi: number): void {
  if (!s.writeBlock(lo, hi, LINE_BYTES, line, 0, 0)) s.write(lo, hi, 8, 0, 0, 0)
}

/** MOVDIR64B: 64 bytes of memory, as one write. */
const moveLine: Handler = (s, record) => {
  locateLine(s, record)
  const [lo, hi] = [s.linLo, s.linHi]
  readLine(s)
  writeLine(s, lo, hi)
  s.commit()
  return STATUS_DONE
}

/** In the first doubleword of a command: PASID, and bits that are zeros; in IA32_PASID: whether that is valid. */
const [PASID, RESERVED, PASID_VALID] = [0xf_ffff, 0x7ff0_0000, 0x8000_0000]

/**
 * ENQCMD and ENQCMDS: MOVDIR64B to a device, which takes the command; ZF says whether it has been taken. RAM never takes one, and
 * is not written. Each device that is written at all takes commands here: no model has a way to refuse a write.
 */
const enqueue =
  (isSupervisor: boolean): Handler =>
  (s, record) => {
    locateLine(s, record)
    const [lo, hi] = [s.linLo, s.linHi]
    readLine(s)
    if ((lineWords[0]! & (isSupervisor ? RESERVED : -1)) !== 0) s.raise(VECTOR_GP, 0)
    if (!isSupervisor) {
      const pasid = s.get(S_PASID)
      if ((pasid & PASID_VALID) === 0) s.raise(VECTOR_GP, 0)
      lineWords[0] = pasid & PASID
    }
    writeLine(s, lo, hi)
    const isTaken = s.cpu.memoryAccess.locatedMa < 0
    if (isTaken) s.commit()
    else s.dropWrites()
    s.cpu.setRflags((s.cpu.materialiseFlags() & ~FLAGS_ARITHMETIC) | (isTaken ? 0 : FLAG_ZF))
    return STATUS_DONE
  }

/** The last MSR that the bitmaps of USER-MSR have; where the bitmap of writes begins. */
const [LAST_USER_MSR, WRITABLE_MSRS] = [0x3fff, 0x800]

const requireUserMsr: Gate = (s) => {
  if ((s.get(S_USER_MSR_CTL) & 1) === 0) s.undefinedOpcode()
}

/** URDMSR and UWRMSR: as RDMSR and WRMSR, where the bit of the MSR in the bitmap at IA32_USER_MSR_CTL is set. */
const userMsr = (isWrite: boolean): Handler =>
  gated(requireUserMsr, (s, record, form) => {
    const index = readOperand(s, record, form, isWrite ? 0 : 1, 8)
    if (s.hi !== 0 || index > LAST_USER_MSR) s.raise(VECTOR_GP, 0)
    const bitmap = s.get(S_USER_MSR_CTL) & ~0xfff
    const bits = s.readSystem(
      (bitmap + (isWrite ? WRITABLE_MSRS : 0) + (index >>> 3)) >>> 0,
      s.get(S_USER_MSR_CTL + 4),
      1,
    )
    // UWRMSR writes IA32_UINTR_TIMER and IA32_UARCH_MISC_CTL alone, which no model has.
    if (((bits >>> (index & 7)) & 1) === 0 || isWrite) s.raise(VECTOR_GP, 0)
    readMsr(s, index)
    s.writeRegister(registerOffset(s, record, 0), 8, s.lo, s.hi)
    return STATUS_DONE
  })

export const stores: SemanticsTable = {
  ...Object.fromEntries(CONDITIONS.map((name, code) => [`CMP${name}XADD`, compareAdd(code)])),
  AADD: remote((a, b) => a.add(b)),
  AAND: remote((a, b) => a.and(b)),
  AOR: remote((a, b) => a.or(b)),
  AXOR: remote((a, b) => a.xor(b)),
  MOVDIRI: move,
  MOVRS: move,
  PREFETCHRST2: hint,
  PREFETCHIT0: hint,
  PREFETCHIT1: hint,
}

export const storeHandlers: Readonly<Record<string, Handler>> = {
  MOVDIR64B: moveLine,
  ENQCMD: enqueue(false),
  ENQCMDS: gated(kernelOnly, enqueue(true)),
  URDMSR: userMsr(false),
  UWRMSR: userMsr(true),
}
