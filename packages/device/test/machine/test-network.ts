import type { PacketBackend, PacketClient } from '@retrap/device'

/** The address that the network gives a card. */
export const NETWORK_MAC: readonly number[] = [0x52, 0x54, 0, 1, 2, 3]

/** A network that keeps what it is sent, with as much room as a test gives it. */
export class TestNetwork implements PacketBackend {
  client: PacketClient | null = null
  linkUp = true
  maximumBytes = 1514
  readonly macAddress = Uint8Array.from(NETWORK_MAC)
  readonly sent: Uint8Array[] = []
  room = Infinity
  readies = 0
  told: unknown
  connect(client: PacketClient): void {
    this.client = client
  }
  send(frame: Uint8Array): boolean {
    if (this.room === 0) return false
    this.room--
    this.sent.push(frame.slice())
    return true
  }
  ready(): void {
    this.readies++
  }
  filter(addresses: unknown): void {
    this.told = addresses
  }
}
