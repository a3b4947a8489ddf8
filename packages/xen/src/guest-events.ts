import { Stateful } from '@retrap/device'
import { PAGE_BYTES } from '@retrap/memory'
import type { Upcalls, XenArchitecture, XenHost } from './architecture.ts'
import { EventChannels } from './events/event-channels.ts'
import { ramOf } from './guest-frames.ts'
import { SharedInfo, type WallClock } from './shared/shared-info.ts'
import { XenVcpu } from './vcpu/xen-vcpu.ts'

/** A guest's event channels, and all memory that its vCPUs share with the hypervisor. */
export class GuestEvents<U extends Upcalls = Upcalls> extends Stateful {
  readonly #domain: XenHost
  readonly info: SharedInfo
  readonly channels: EventChannels
  readonly upcalls: U
  readonly vcpus: readonly XenVcpu[]
  /** Machine frame referenced for each vCPU's `vcpu_info`; −1: none. */
  readonly #held: number[]

  constructor(domain: XenHost, architecture: XenArchitecture<U>, domainId: number, wallClock: WallClock) {
    super()
    const { vcpus, layouts } = architecture
    this.#domain = domain
    this.#held = vcpus.map(() => -1)
    this.info = new SharedInfo(domain.memory, vcpus.length, wallClock, layouts, {
      gpaOf: (ma) => domain.p2m.guestFrame(Math.floor(ma / PAGE_BYTES)) * PAGE_BYTES + (ma % PAGE_BYTES),
      hold: (vcpu, gpa) => this.#holdRam(vcpu, gpa),
    })
    this.upcalls = architecture.makeUpcalls(this.info)
    this.channels = new EventChannels(domain, vcpus.length, domainId, this.info, (vcpu) => this.upcalls.raise(vcpu))
    this.vcpus = vcpus.map((vcpu) => new XenVcpu(domain, architecture, vcpu, this.info, this.channels))
    // The page that they share with the guest is saved by itself. A restore takes the place of an abandoned state, in a domain whose
    // memory and interrupt controllers have been restored.
    this.keeps({
      version: 2,
      info: this.info,
      channels: this.channels,
      upcalls: this.upcalls,
      vcpus: this.vcpus,
    })
    // A frame that leaves the guest takes no vcpu_info with it: the hypervisor keeps those to itself from then on.
    domain.p2m.onRelease((_gfn, mfn, order) => {
      this.#released(mfn * PAGE_BYTES, 2 ** order * PAGE_BYTES)
      for (const frame of this.channels.fifo.frames) {
        if (frame >= mfn && frame < mfn + 2 ** order && !this.#isRam(frame)) this.channels.fifo.released(frame)
      }
    })
    this.updateTime()
  }

  #released(ma: number, bytes: number): void {
    for (const vcpu of this.vcpus.keys()) {
      const at = this.info.vcpuInfo(vcpu)
      if (at < ma || at + this.info.vcpuInfoBytes > ma + bytes) continue
      // The shared page stays the hypervisor's, wherever the guest has it; and RAM that moves has its new place already.
      if (this.info.inPage(at) || this.#isRam(Math.floor(at / PAGE_BYTES))) continue
      this.info.withdrawVcpuInfo(vcpu)
      this.#letGo(vcpu)
    }
  }

  /** Whether the guest can reach a machine frame as its RAM. */
  #isRam(mfn: number): boolean {
    const { p2m } = this.#domain
    const gfn = p2m.guestFrame(mfn)
    return gfn >= 0 && p2m.translate(gfn * PAGE_BYTES) === mfn * PAGE_BYTES
  }

  /** The frame of a `vcpu_info` is written without asking the map: nobody may share it, or have it for anything else. */
  #hold(vcpu: number, mfn: number): void {
    this.#letGo(vcpu)
    const { frameCounts } = this.#domain
    if (frameCounts.count(mfn) > 0 && frameCounts.tryTake(mfn, 1)) this.#held[vcpu] = mfn
  }

  #letGo(vcpu: number): void {
    const mfn = this.#held[vcpu]!
    this.#held[vcpu] = -1
    if (mfn >= 0) this.#domain.frameCounts.drop(mfn, 1)
  }

  /** A vCPU's `vcpu_info` has a place of the guest's own from now on. */
  placeVcpuInfo(vcpu: number, ma: number): void {
    this.#hold(vcpu, Math.floor(ma / PAGE_BYTES))
    this.info.moveVcpuInfo(vcpu, ma)
    this.vcpus[vcpu]?.updateTime()
    this.channels.mark(vcpu)
  }

  /** Clock pages of all vCPUs: a time-stamp counter was moved. */
  updateTime(): void {
    for (const vcpu of this.vcpus) vcpu.updateTime()
  }

  /** Power-on. */
  override reset(): void {
    this.channels.reset()
    this.upcalls.reset()
    this.info.reset()
    this.#letGoAll()
    for (const vcpu of this.vcpus) vcpu.reset()
    this.updateTime()
  }

  /** Ends what a guest's RAM is used for, and timers: a saved state follows. Host ends stay. */
  abandon(): void {
    this.channels.abandon()
    this.upcalls.reset()
    this.info.reset()
    this.#letGoAll()
    for (const vcpu of this.vcpus) vcpu.reset()
  }

  #letGoAll(): void {
    for (const vcpu of this.#held.keys()) this.#letGo(vcpu)
  }

  /** Calls back with guest frames that are written at any time. */
  heldForWriting(each: (gfn: number, count: number) => void): void {
    for (const mfn of [...this.#held, ...this.channels.fifo.frames]) {
      const gfn = mfn < 0 ? -1 : this.#domain.p2m.guestFrame(mfn)
      if (gfn >= 0) each(gfn, 1)
    }
  }

  #holdRam(vcpu: number, gpa: number): number {
    const ma = ramOf(this.#domain, gpa)
    this.#hold(vcpu, Math.floor(ma / PAGE_BYTES))
    return ma
  }

  /** The end of the domain. */
  free(): void {
    this.channels.abandon()
    this.#letGoAll()
    this.info.free()
  }
}
