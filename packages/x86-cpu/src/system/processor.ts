import type { Words } from '../state/host.ts'
import { VECTOR_GP, VECTOR_UD } from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import {
  CR4_OSXSAVE,
  RAX,
  RCX,
  RDX,
  XCR0_AVX,
  XCR0_EVEX,
  XCR0_SSE,
  XCR0_TILE,
  XCR0_X87,
} from '../state/architecture.ts'
import { registerOffset, type Handler } from './operands.ts'
import { inUse } from './fpu/fpu-state.ts'
import type { System } from './system.ts'
import { ACTIVITY_HALTED, S_ACTIVITY } from '../state/system-state.ts'

const words: Words = { lo: 0, hi: 0 }

// @isa: complete   F4   HLT   "SDM vol. 2A, HLT"
export const hlt: Handler = (s, record) => {
  s.requireCpl0()
  s.set(S_ACTIVITY, ACTIVITY_HALTED)
  s.advance(record)
  return S.STATUS_EXIT
}

// @isa: complete   0F 08, 0F 09   INVD, WBINVD: memory is always coherent here
const cacheControl: Handler = (s) => {
  s.requireCpl0()
  return S.STATUS_DONE
}

/** The part of a turn's budget that a part of a hypercall takes, in instructions. */
const HYPERCALL_COST = 64

// @isa: complete   0F 01 C1, 0F 01 D9   VMCALL, VMMCALL: to the host
const hypercall: Handler = (s, record) => {
  const status = s.host.hypercall()
  if (status === S.STATUS_FAULT) s.raisePlain(VECTOR_UD)
  if (status === S.STATUS_CONTINUE) s.countIterations(HYPERCALL_COST)
  s.check(status)
  return s.retireNext(record)
}

// @isa: complete   0F C7 /6, /7   RDRAND, RDSEED   "SDM vol. 2B, RDRAND"
const random: Handler = (s, record, form) => {
  s.host.random(words)
  const size = form.operands[0]?.size ?? form.size
  s.writeRegister(registerOffset(s, record, 0), size, words.lo, words.hi)
  s.cpu.setRflags((s.cpu.materialiseFlags() & ~S.FLAGS_ARITHMETIC) | S.FLAG_CF)
  return S.STATUS_DONE
}

function requireXsave(s: System): void {
  if ((s.get(S.S_CR4) & CR4_OSXSAVE) === 0) s.undefinedOpcode()
}

// @isa: complete   0F 01 D0   XGETBV   "SDM vol. 2C, XGETBV"
const xgetbv: Handler = (s) => {
  requireXsave(s)
  const register = s.gpr(RCX)
  // ECX = 1: those of XCR0's components that are in use.
  if (register !== 0 && (register !== 1 || !s.cpu.processor.tellsInUse)) s.raise(VECTOR_GP, 0)
  s.setGpr(RAX, 4, register === 0 ? s.get(S.S_XCR0) : s.get(S.S_XCR0) & inUse(s))
  s.setGpr(RDX, 4, 0)
  return S.STATUS_DONE
}

// @isa: complete   0F 01 D1   XSETBV   "SDM vol. 2C, XSETBV"
const xsetbv: Handler = (s, record) => {
  requireXsave(s)
  s.requireCpl0()
  const lo = s.gpr(RAX)
  const known = s.gpr(RDX) === 0 && (lo & ~s.cpu.processor.xcr0) === 0
  const consistent =
    (lo & XCR0_X87) !== 0 &&
    [0, XCR0_SSE, XCR0_SSE | XCR0_AVX, XCR0_EVEX].includes(lo & XCR0_EVEX) &&
    [0, XCR0_TILE].includes(lo & XCR0_TILE)
  if (s.gpr(RCX) !== 0 || !known || !consistent) s.raise(VECTOR_GP, 0)
  s.set64(S.S_XCR0, lo, 0)
  s.cpu.modeChanged()
  // The page may decode to other instructions now.
  return s.retireNext(record)
}

export const processorHandlers: Readonly<Record<string, Handler>> = {
  HLT: hlt,
  INVD: cacheControl,
  WBINVD: cacheControl,
  VMCALL: hypercall,
  VMMCALL: hypercall,
  RDRAND: random,
  RDSEED: random,
  XGETBV: xgetbv,
  XSETBV: xsetbv,
}
