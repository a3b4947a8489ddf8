import type { TcpSocketClient } from '../../src/index.ts'

/** A guest's end of a connection of the host's. */
export class Client implements TcpSocketClient {
  text = ''
  isConnected = false
  isEnded = false
  drains = 0
  end: string | null = null

  connected(): void {
    this.isConnected = true
  }
  data(bytes: Uint8Array): void {
    this.text += Buffer.from(bytes).toString('latin1')
  }
  ended(): void {
    this.isEnded = true
  }
  drained(): void {
    this.drains++
  }
  closed(end: string): void {
    this.end = end
  }
}
