import { TLB_READ, TLB_WRITE, type Tlb } from '@retrap/engine'
import { PAGE_BYTES } from '@retrap/memory'
import { ACCESS_AC, ACCESS_IMPLICIT, ACCESS_READ, ACCESS_USER, ACCESS_WRITE } from '@retrap/paging'
import type { AccessLog } from '@retrap/replay'
import {
  ACCESS_RESIDENT,
  SLOW_IMPLICIT,
  SLOW_MODIFY,
  SLOW_WRITE,
  type CpuHost,
  type Translation,
} from '../state/host.ts'
import * as S from '../state/state-layout.ts'
import { VECTOR_PF } from '../state/vectors.ts'

/** Makes the result of a translation, for its owner to reuse. */
export function newTranslation(): Translation {
  return {
    gpa: 0,
    ma: -1,
    writable: false,
    cacheable: false,
    global: false,
    pageBytes: PAGE_BYTES,
    key: 0,
    errorCode: 0,
  }
}

/** Translates a vCPU's linear addresses by its host, logged in a logged pass, and raises what goes wrong. */
export class LinearTranslation {
  readonly #host: CpuHost
  readonly #tlb: Tlb
  readonly #log: AccessLog
  readonly #u32: Uint32Array

  /** @param u32 - the state area */
  constructor(host: CpuHost, tlb: Tlb, log: AccessLog, u32: Uint32Array) {
    this.#host = host
    this.#tlb = tlb
    this.#log = log
    this.#u32 = u32
  }

  /** Whether a logged pass is not the first of its instruction. */
  get isRepeated(): boolean {
    return this.#log.pass > 1
  }

  /** Returns the `ACCESS_*` of an access, from its `SLOW_*` and the state. */
  rights(flags: number): number {
    const u32 = this.#u32
    let access = (flags & (SLOW_WRITE | SLOW_MODIFY)) === 0 ? ACCESS_READ : ACCESS_WRITE
    if ((flags & SLOW_IMPLICIT) !== 0) access |= ACCESS_IMPLICIT
    else if (u32[S.S_CPL >>> 2] === 3) access |= ACCESS_USER
    if ((u32[S.S_EFLAGS >>> 2]! & S.FLAG_AC) !== 0) access |= ACCESS_AC
    return access
  }

  /**
   * Translates one byte's address.
   *
   * @param set - TLB set whose entries spare the walk: `into.gpa` is −1 then; −1: walks in any case. Where the guest-physical address
   *   is asked for, in a logged pass and for a log of writes, a walk changes nothing if there is an entry
   * @returns a status; STATUS_FAULT with the page fault raised
   */
  translate(lo: number, hi: number, access: number, into: Translation, set: number): number {
    const logged = this.#u32[S.S_LOGGED >>> 2] === 1
    const table = (access & ACCESS_WRITE) === 0 ? TLB_READ : TLB_WRITE
    const isResident = set >= 0 && this.#tlb.find(set, table, lo, hi, into)
    if (isResident && !logged && (table === TLB_READ || into.writable)) {
      into.gpa = -1
      return S.STATUS_DONE
    }
    const wanted = isResident ? access | ACCESS_RESIDENT : access
    const status = this.#host.translate(lo, hi, wanted, into, logged ? this.#log : null)
    if (status !== S.STATUS_FAULT) return status
    // A page fault drops what the TLB has of the page (SDM vol. 3A, "Operations that Invalidate TLBs …").
    this.#tlb.invalidatePage(lo, hi)
    this.#u32[S.S_FAULT_ADDRESS >>> 2] = lo
    this.#u32[(S.S_FAULT_ADDRESS >>> 2) + 1] = hi
    return this.raise(VECTOR_PF, into.errorCode)
  }

  /** Finds what is behind a guest-physical address, to read or, with SLOW_WRITE, to write. @returns a status; no fault */
  physical(gpa: number, flags: number, into: Translation): number {
    const host = this.#host
    if (host.translatePhysical === undefined) {
      into.gpa = gpa
      into.ma = host.ramAddress(gpa)
      into.writable = into.ma >= 0
      return S.STATUS_DONE
    }
    const access = (flags & SLOW_WRITE) === 0 ? ACCESS_READ : ACCESS_WRITE
    return host.translatePhysical(gpa, access, into, this.#u32[S.S_LOGGED >>> 2] === 1 ? this.#log : null)
  }

  /** Raises an exception with an error code. @returns STATUS_FAULT */
  raise(vector: number, errorCode: number): number {
    this.#u32[S.S_FAULT_VECTOR >>> 2] = vector
    this.#u32[S.S_FAULT_ERROR >>> 2] = errorCode
    this.#u32[S.S_FAULT_HAS_ERROR >>> 2] = 1
    return S.STATUS_FAULT
  }
}
