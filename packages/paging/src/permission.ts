import * as bits from './bits.ts'
import type { PagingContext } from './context.ts'

/**
 * Whether an access is allowed by a mapping's rights, in the order of the SDM's "Determination of Access Rights".
 *
 * @param flags - `MAP_` bits of a walk
 * @param pkey - the mapping's protection key
 * @returns 0 if it is; otherwise the #PF error code
 */
export function permission(context: PagingContext, flags: number, pkey: number, access: number): number {
  const write = access & bits.ACCESS_WRITE
  const userPage = flags & bits.MAP_USER
  // The processor's own accesses are supervisor accesses at any privilege level.
  const user = (access & bits.ACCESS_IMPLICIT) === 0 ? access & bits.ACCESS_USER : 0
  let denied = 0
  if ((access & bits.ACCESS_FETCH) !== 0) {
    if ((flags & bits.MAP_NX) !== 0) denied = bits.PFEC_P
    if (user !== 0 ? userPage === 0 : userPage !== 0 && context.smep !== 0) denied = bits.PFEC_P
    return denied === 0 ? 0 : denied | user | context.fetchBit
  }
  if ((userPage !== 0 ? context.pke : context.pks) !== 0) {
    const key = (userPage !== 0 ? context.pkru : context.pkrs) >>> (pkey * 2)
    if ((key & 1) !== 0 || ((key & 2) !== 0 && write !== 0 && (user !== 0 || context.wp !== 0))) {
      denied = bits.PFEC_P | bits.PFEC_PK
    }
  }
  const shadow = access & bits.ACCESS_SHADOW_STACK
  if (shadow !== 0) {
    // Shadow-stack accesses need a shadow-stack page of the same privilege, whose RW is clear.
    if ((flags & bits.MAP_SHADOW_STACK) === 0 || userPage !== user) denied |= bits.PFEC_P
  } else if (user !== 0) {
    if (userPage === 0 || (write !== 0 && (flags & bits.MAP_WRITABLE) === 0)) denied |= bits.PFEC_P
  } else {
    if (userPage !== 0 && context.smap !== 0 && (access & (bits.ACCESS_AC | bits.ACCESS_IMPLICIT)) !== bits.ACCESS_AC)
      denied |= bits.PFEC_P
    if (write !== 0 && (flags & bits.MAP_WRITABLE) === 0 && context.wp !== 0) denied |= bits.PFEC_P
  }
  return denied === 0 ? 0 : denied | write | user | shadow
}
