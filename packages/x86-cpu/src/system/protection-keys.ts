import { KEY_USER } from '../state/host.ts'
import { STATUS_DONE, S_CR4, S_PKRS, S_PKRU } from '../state/state-layout.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import { CR4_PKE, RAX, RCX, RDX } from '../state/architecture.ts'
import type { Handler } from './operands.ts'
import type { System } from './system.ts'

/** The keys that a register of rights denies more to than before, one bit each. Two bits a key: access, write disable. */
function keysThatLost(before: number, after: number): number {
  const lost = after & ~before
  let keys = 0
  for (let key = 0; key < 16; key++) if (((lost >>> (2 * key)) & 3) !== 0) keys |= 1 << key
  return keys
}

/**
 * Sets PKRU or IA32_PKRS. Translations that were allowed under the old rights and are not under the new ones are dropped. A right
 * that is granted drops nothing, because denied translations have never been kept.
 *
 * Source: SDM vol. 3A, "Protection Keys".
 */
function setRights(s: System, offset: number, value: number, kind: number): void {
  const before = s.get(offset)
  if (value === before) return
  s.set(offset, value)
  s.host.controlChanged()
  const keys = keysThatLost(before, value)
  if (keys !== 0) s.cpu.dropKeys(keys << kind)
}

/** Sets PKRU: rights of users' pages. */
export function setPkru(s: System, value: number): void {
  setRights(s, S_PKRU, value >>> 0, KEY_USER)
}

/** Sets IA32_PKRS: rights of supervisors' pages. */
export function setPkrs(s: System, value: number): void {
  setRights(s, S_PKRS, value >>> 0, 0)
}

function requireKeys(s: System): void {
  if ((s.get(S_CR4) & CR4_PKE) === 0) s.undefinedOpcode()
  if (s.gpr(RCX) !== 0) s.raise(VECTOR_GP, 0)
}

// @isa: complete   0F 01 EE   RDPKRU   "SDM vol. 2B, RDPKRU"
const rdpkru: Handler = (s) => {
  requireKeys(s)
  s.setGpr(RAX, 4, s.get(S_PKRU))
  s.setGpr(RDX, 4, 0)
  return STATUS_DONE
}

// @isa: complete   0F 01 EF   WRPKRU   "SDM vol. 2C, WRPKRU"
const wrpkru: Handler = (s) => {
  requireKeys(s)
  if (s.gpr(RDX) !== 0) s.raise(VECTOR_GP, 0)
  setPkru(s, s.gpr(RAX))
  return STATUS_DONE
}

export const protectionKeyHandlers: Readonly<Record<string, Handler>> = { RDPKRU: rdpkru, WRPKRU: wrpkru }
