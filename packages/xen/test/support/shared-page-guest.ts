import { ARGUMENTS, type CallerMode, XenTestGuest } from './xen-guest.ts'

export const EVENT_CHANNEL_OP = 32
/** The store's and the console's ports come first. */
export const FIRST_FREE = 3
export const SHARED_INFO_GFN = 0x300

/** A guest with the shared page mapped, as `add_to_physmap` does. */
export class SharedPageGuest extends XenTestGuest {
  readonly page: number = SHARED_INFO_GFN * 0x1000

  constructor(mode: CallerMode, vcpus = 1, memoryBytes: number = (16 + vcpus) << 20) {
    super(mode, { vcpus, memoryBytes })
    const { p2m } = this.domain
    p2m.remove(SHARED_INFO_GFN, p2m.translate(this.page) / 0x1000)
    this.xen.memory.place(this.xen.events.info.mfn, SHARED_INFO_GFN)
    this.xen.events.info.latch(mode === '64')
  }

  /** An operation whose argument is a structure of words. @returns the result */
  async op(command: number, ...words: readonly number[]): Promise<number> {
    this.write32(ARGUMENTS, ...words)
    return this.call(EVENT_CHANNEL_OP, command, ARGUMENTS)
  }
}
