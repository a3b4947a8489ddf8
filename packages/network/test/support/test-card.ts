import type { PacketBackend, PacketClient } from '@retrap/device'

/** A card that keeps what it is sent. */
export class TestCard implements PacketClient {
  readonly frames: Uint8Array[] = []
  readonly links: boolean[] = []
  full = false
  drains = 0
  readonly network: PacketBackend

  constructor(network: PacketBackend) {
    this.network = network
    network.connect(this)
  }

  receive(frame: Uint8Array): boolean {
    if (!this.full) this.frames.push(new Uint8Array(frame))
    return !this.full
  }
  drained(): void {
    this.drains++
  }
  linkChanged(up: boolean): void {
    this.links.push(up)
  }
}

/** A frame whose content follows from its number. */
export const testFrame = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 255)

/** Waits until something is so. */
export async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 100_000; !what();) {
    if (Date.now() > end) throw new Error('it does not come to that')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
