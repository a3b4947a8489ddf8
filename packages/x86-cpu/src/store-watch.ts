/**
 * Told of a vCPU's stores to some machine memory: for debuggers that look for the writer of a byte. Frames of that memory
 * have `FRAME_WATCHED` in `codeBits`, so that no TLB holds them for writing; no other store is slower.
 *
 * The instruction of such a store is executed alone, in a logged pass. The processor's own stores to descriptors and stacks
 * are told likewise; those to page tables are the host's.
 */
export interface StoreWatch {
  /** Whether `size` bytes at a machine address touch what is watched. */
  matches(ma: number, size: number): boolean
  /**
   * The present instruction or delivery stores there, if it completes; it may be told several times. `Vcpu.retired` does not
   * count it yet, and `Vcpu.nextAddress` is its address.
   */
  met(): void
}
