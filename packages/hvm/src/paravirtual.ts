/**
 * A hypervisor's own interface for guests, as the domain that it is plugged into calls it.
 *
 * This part is the run loop's and the devices'; an instruction set adds what its processors ask.
 */
export interface Paravirtual {
  /** Whether a vCPU waits in a hypercall. */
  blocks(vcpu: number): boolean
  /** Whether a vCPU may have a turn; delivers first what it is owed. */
  mayRun(vcpu: number): boolean
  /** A vCPU's turn begins. */
  beforeTurn(vcpu: number): void
  /** A vCPU's turn has ended; `reason` is that of its exit. */
  afterTurn(vcpu: number, reason: string): void
  /** Takes a device's message. @returns false for one that is for the interrupt controllers */
  takesMessage(address: number, data: number): boolean
  /** Power-on. */
  reset(): void
}
