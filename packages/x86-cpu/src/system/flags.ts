import { VECTOR_GP } from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import { CR4_PVI, CR4_VME, FLAG_FIXED } from '../state/architecture.ts'
import { flagsMask } from './segments/interrupt-return.ts'
import type { Handler } from './operands.ts'
import { PushStack } from './segments/stack-frames.ts'
import type { System } from './system.ts'

const stack = new PushStack()

/** Virtual-8086 mode with virtual interrupts, at an IOPL that keeps the program from the real ones. */
function virtualInterrupts(s: System): boolean {
  return (s.get(S.S_CR4) & CR4_VME) !== 0
}

/** Protected-mode virtual interrupts: CPL 3 with CR4.PVI. */
function protectedVirtual(s: System): boolean {
  return !s.v86 && s.protectedMode && s.cpl === 3 && (s.get(S.S_CR4) & CR4_PVI) !== 0
}

// @isa: complete   9C   PUSHF, PUSHFD, PUSHFQ   "SDM vol. 2B, PUSHF/PUSHFD/PUSHFQ"
export const pushFlags: Handler = (s, _record, form) => {
  const { size } = form
  let image = s.cpu.materialiseFlags() & ~(S.FLAG_VM | S.FLAG_RF)
  if (s.v86 && s.iopl < 3) {
    if (!virtualInterrupts(s) || size !== 2) s.raise(VECTOR_GP, 0)
    image = (image & ~S.FLAG_IF) | ((image & S.FLAG_VIF) === 0 ? 0 : S.FLAG_IF) | S.FLAG_IOPL
  }
  stack.useCurrent(s)
  stack.push(s, size, size === 2 ? image & 0xffff : image)
  stack.finish(s)
  s.commit()
  stack.store(s)
  return S.STATUS_DONE
}

// @isa: complete   9D   POPF, POPFD, POPFQ   "SDM vol. 2B, POPF/POPFD/POPFQ"
const popFlags: Handler = (s, record, form) => {
  const { size } = form
  const old = s.cpu.materialiseFlags()
  let value: number
  if (s.v86 && s.iopl < 3) {
    if (!virtualInterrupts(s) || size !== 2) s.raise(VECTOR_GP, 0)
    s.readStack(0, 2)
    const image = s.lo
    if ((image & S.FLAG_TF) !== 0 || ((image & S.FLAG_IF) !== 0 && (old & S.FLAG_VIP) !== 0)) s.raise(VECTOR_GP, 0)
    const mask = flagsMask(s, 2) & ~(S.FLAG_IF | S.FLAG_IOPL)
    value = (old & ~mask) | (image & mask)
    value = (image & S.FLAG_IF) === 0 ? value & ~S.FLAG_VIF : value | S.FLAG_VIF
  } else {
    s.readStack(0, size)
    // POPF clears RF, whatever the image holds. In virtual-8086 mode IOPL is out of reach.
    let mask = flagsMask(s, size)
    if (s.v86) mask = (mask | S.FLAG_IF) & ~S.FLAG_IOPL
    value = ((old & ~mask) | (s.lo & mask)) & ~S.FLAG_RF
  }
  value |= FLAG_FIXED
  s.releaseStack(size)
  s.cpu.setRflags(value)
  const changed = old ^ value
  if ((changed & (S.FLAG_AC | S.FLAG_IF | S.FLAG_TF)) === 0) return S.STATUS_DONE
  if ((changed & S.FLAG_AC) !== 0) s.cpu.modeChanged()
  return s.retireNext(record)
}

// @isa: complete   FA   CLI   "SDM vol. 2A, CLI"
export const cli: Handler = (s) => {
  const flags = s.get(S.S_EFLAGS)
  if (!s.protectedMode || s.cpl <= s.iopl) {
    // Virtual-8086 mode is at level 3, so an IOPL of 3 lets it here too.
    s.set(S.S_EFLAGS, flags & ~S.FLAG_IF)
    return S.STATUS_DONE
  }
  if (!(s.v86 ? virtualInterrupts(s) : protectedVirtual(s))) s.raise(VECTOR_GP, 0)
  s.set(S.S_EFLAGS, flags & ~S.FLAG_VIF)
  return S.STATUS_DONE
}

// @isa: complete   FB   STI   "SDM vol. 2B, STI"
export const sti: Handler = (s, record) => {
  const flags = s.get(S.S_EFLAGS)
  if (!s.protectedMode || s.cpl <= s.iopl) {
    if ((flags & S.FLAG_IF) !== 0) return S.STATUS_DONE
    s.set(S.S_EFLAGS, flags | S.FLAG_IF)
    s.set(S.S_SHADOW, s.get(S.S_SHADOW) | S.SHADOW_STI)
    return s.retireNext(record)
  }
  if (!(s.v86 ? virtualInterrupts(s) : protectedVirtual(s)) || (flags & S.FLAG_VIP) !== 0) s.raise(VECTOR_GP, 0)
  s.set(S.S_EFLAGS, flags | S.FLAG_VIF)
  return S.STATUS_DONE
}

function changeAc(s: System, record: number, on: boolean): number {
  if (s.protectedMode && s.cpl > 0) s.undefinedOpcode()
  const flags = s.get(S.S_EFLAGS)
  s.set(S.S_EFLAGS, on ? flags | S.FLAG_AC : flags & ~S.FLAG_AC)
  s.cpu.modeChanged()
  s.advance(record)
  return S.STATUS_JUMP
}

// @isa: complete   0F 01 CA   CLAC   "SDM vol. 2A, CLAC"
const clac: Handler = (s, record) => changeAc(s, record, false)

// @isa: complete   0F 01 CB   STAC   "SDM vol. 2B, STAC"
export const stac: Handler = (s, record) => changeAc(s, record, true)

const LOW_FLAGS = S.FLAG_SF | S.FLAG_ZF | S.FLAG_AF | S.FLAG_PF | S.FLAG_CF

// @isa: complete   9F   LAHF   "SDM vol. 2A, LAHF"
const lahf: Handler = (s) => {
  s.u8[S.S_GPR + 1] = (s.cpu.materialiseFlags() & LOW_FLAGS) | FLAG_FIXED
  return S.STATUS_DONE
}

// @isa: complete   9E   SAHF   "SDM vol. 2B, SAHF"
const sahf: Handler = (s) => {
  s.cpu.setRflags((s.cpu.materialiseFlags() & ~LOW_FLAGS) | (s.u8[S.S_GPR + 1]! & LOW_FLAGS))
  return S.STATUS_DONE
}

export const flagHandlers: Readonly<Record<string, Handler>> = {
  PUSHF: pushFlags,
  PUSHFD: pushFlags,
  PUSHFQ: pushFlags,
  POPF: popFlags,
  POPFD: popFlags,
  POPFQ: popFlags,
  CLI: cli,
  STI: sti,
  CLAC: clac,
  STAC: stac,
  LAHF: lahf,
  SAHF: sahf,
}
