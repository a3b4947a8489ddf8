import { I64, type I32, select } from '@retrap/wasm-emitter'
import type { Context, Semantics, SemanticsTable } from '../semantics/context.ts'
import { conditionOf, flagParts } from '../semantics/flag-parts.ts'
import { signExtend } from '../semantics/integer.ts'
import { ES, FLAGS_SUB, STATUS_DONE, S_EA } from '../state/state-layout.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import { addressSize } from '../system/masked-move.ts'
import { registerOffset, type Handler } from '../system/operands.ts'

/**
 * Stores that compute, and stores past the caches: CMPccXADD, RAO-INT, MOVDIRI, MOVDIR64B, MOVRS; and prefetches.
 *
 * Source: Intel SDM vol. 2, MOVDIRI, MOVDIR64B; Intel Architecture Instruction Set Extensions Programming Reference, the pages
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

/** MOVDIR64B: 64 bytes of memory go to the address in a register, in ES, as one write. */
const moveLine: Handler = (s, record) => {
  const offset = registerOffset(s, record, 0)
  const size = addressSize(s, record)
  const lo = size === 2 ? s.get(offset) & 0xffff : s.get(offset)
  s.linear(ES, lo, size === 8 ? s.get(offset + 4) : 0, LINE_BYTES, true)
  const [toLo, toHi] = [s.linLo, s.linHi]
  if ((toLo & (LINE_BYTES - 1)) !== 0) s.raise(VECTOR_GP, 0)
  const [fromLo, fromHi] = [s.get(S_EA), s.get(S_EA + 4)]
  const view = new DataView(line.buffer)
  for (let at = 0; at < LINE_BYTES; at += 8) {
    view.setUint32(at, s.readAt(fromLo, fromHi, at, 8), true)
    view.setUint32(at + 4, s.hi, true)
  }
  // A line lies in one page. Where it cannot be written, its first part raises the fault.
  if (!s.writeBlock(toLo, toHi, LINE_BYTES, line, 0, 0)) s.write(toLo, toHi, 8, 0, 0, 0)
  s.commit()
  return STATUS_DONE
}

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

export const storeHandlers: Readonly<Record<string, Handler>> = { MOVDIR64B: moveLine }
