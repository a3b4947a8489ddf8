import type { Tlb } from '@retrap/engine'
import { Invalidate } from '@retrap/paging'
import type { CpuHost } from '../state/host.ts'
import { S_CR3, S_CR4 } from '../state/state-layout.ts'
import { CR4_PCIDE } from '../state/architecture.ts'

/** The translations that instructions forget: in the TLB, and in the host's caches beyond it. */
export class AddressSpaces {
  readonly #tlb: Tlb
  readonly #host: CpuHost
  readonly #u32: Uint32Array

  constructor(tlb: Tlb, host: CpuHost, u32: Uint32Array) {
    this.#tlb = tlb
    this.#host = host
    this.#u32 = u32
  }

  /** The current PCID. */
  #pcid(): number {
    return (this.#u32[S_CR4 >>> 2]! & CR4_PCIDE) === 0 ? 0 : this.#u32[S_CR3 >>> 2]! & 0xfff
  }

  /** @param all - global pages too */
  flush(all: boolean): void {
    this.#tlb.flush(all)
    this.#host.invalidate(all ? Invalidate.ALL : Invalidate.PCID, this.#pcid(), 0, 0)
  }

  /** INVLPG. */
  invalidatePage(lo: number, hi: number): void {
    this.#tlb.invalidatePage(lo >>> 0, hi >>> 0)
    this.#host.invalidate(Invalidate.ADDRESS, this.#pcid(), lo >>> 0, hi >>> 0)
  }

  /** INVPCID. */
  invalidatePcid(scope: number, pcid: number, lo: number, hi: number): void {
    const current = pcid === this.#pcid()
    switch (scope) {
      case Invalidate.ADDRESS:
        // Of another address space all goes, which is allowed and hardly ever asked for.
        if (current) this.#tlb.invalidatePage(lo >>> 0, hi >>> 0)
        else this.#tlb.dropParked(pcid)
        break
      case Invalidate.PCID:
        if (current) this.#tlb.flush(false)
        else this.#tlb.dropParked(pcid)
        break
      case Invalidate.ALL:
        this.#tlb.flush(true)
        break
      default:
        this.#tlb.flush(false)
        this.#tlb.dropAllParked()
    }
    this.#host.invalidate(scope, pcid, lo >>> 0, hi >>> 0)
  }

  /** MOV to CR3 with CR4.PCIDE set. */
  switchPcid(from: number, to: number, keep: boolean): void {
    if (!keep) {
      this.#tlb.dropParked(to)
      this.#host.invalidate(Invalidate.PCID, to, 0, 0)
    }
    if (from !== to) this.#tlb.exchange(from, to)
    else if (!keep) this.#tlb.flush(false)
  }
}
