import type { SessionOutput } from '../session/session-host.ts'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import type { WatchedOutput } from '../../host/output-watch.ts'
import type { SerialTarget } from '../../options/values.ts'
import { type FarEnd, openReported } from './far-end.ts'

/** The far ends of a session's serial ports, beside the terminal. */
export class SerialWires {
  /** Null: the port leads to the terminal. */
  readonly ends: (FarEnd | null)[] = []
  /** Bytes for each port that arrived before the machine existed. */
  readonly #early: Uint8Array[][] = []
  #machine: Machine | undefined

  /**
   * Opens all serial ports' ends.
   *
   * @param say - gets messages for the user about the ports
   * @param failed - called with the reason when a port can no longer be written
   * @throws CliError `ERR_INPUT`
   */
  async open(serial: readonly SerialTarget[], say: SessionOutput, failed: (message: string) => void): Promise<void> {
    for (const [i, target] of serial.entries()) {
      const name = `serial port ${i + 1}`
      const end = target.kind === 'stdio' ? null : await openReported(target, name, say, failed)
      this.ends.push(end)
      this.#early.push([])
      end?.onReceive((bytes) => this.#receive(i, bytes))
    }
  }

  /** Takes bytes for a port. @returns false where no more should come yet */
  #receive(i: number, bytes: Uint8Array): boolean {
    if (this.#machine !== undefined) return this.#machine.serialPorts[i]?.receive(bytes) ?? true
    this.#early[i]!.push(bytes)
    return false
  }

  /** The outputs for the guest's bytes. */
  get outputs(): readonly WatchedOutput[] {
    return this.ends.filter((end) => end !== null)
  }

  /**
   * Connects a new machine.
   *
   * @param print - receives output for the terminal
   */
  connect(machine: Machine, print: (bytes: Uint8Array) => void): void {
    this.#machine = machine
    for (const [i, end] of this.ends.entries()) {
      const port = machine.serialPorts[i]
      port?.onTransmit(end === null ? print : (bytes) => end.write(bytes))
      if (end === null) continue
      port?.onDrain(() => end.resume())
      let hasRoom = true
      for (const bytes of this.#early[i]!.splice(0)) hasRoom = port?.receive(bytes) ?? true
      // Nothing waits for an earlier machine's guest any more.
      if (hasRoom) end.resume()
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.ends.flatMap((end) => (end === null ? [] : [end.close()])))
  }
}
